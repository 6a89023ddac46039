-- Orders that may have lost their message, in order of id: `pending` ones created before :created_before (null: none is
-- looked for) and left as they are since :idle_since, `processing` ones left so since :silent_since; none that was left so
-- since before :oldest. Those without `created_at` count when :everything is 1. The condition on 'fulfilled' lets the
-- index of open orders be used.
SELECT id, product_id, quantity, status, coalesce(updated_at, 0)
FROM orders
WHERE status IS NOT 'fulfilled'
  AND status IN ('pending', 'processing')
  AND CASE status
          WHEN 'pending' THEN
              (created_at < :created_before OR (created_at IS NULL AND :everything))
              AND coalesce(updated_at, 0) < :idle_since
          ELSE coalesce(updated_at, 0) < :silent_since
      END
  AND (coalesce(updated_at, created_at) < :oldest) IS NOT TRUE
  AND id > :after
ORDER BY id
LIMIT :limit;
