-- Orders that may have lost their message, in order of id: `pending` ones created before :created_before (null: none is
-- looked for) and left as they are since :idle_since, `processing` ones left so since :silent_since; none that was left so
-- since before :oldest. What lies in the future of :now counts from when it was first seen so, and as created before
-- :ahead_before. Those without `created_at` count when :everything is 1. The condition on 'fulfilled' lets the
-- index of open orders be used. With each order comes what the timeline says of it: the last step, and the newest
-- correlation id; nulls where there is no timeline. Orders older than the horizon are left out, unless they were begun here; so are
-- those that are held. The end of a hold counts as if it had touched its order.
WITH page AS MATERIALIZED (
    SELECT id, product_id, quantity, status, coalesce(updated_at, 0) AS fence
    FROM orders
    LEFT JOIN fulfillment_observed_fences AS seen
        ON seen.order_id = orders.id AND seen.fence = orders.updated_at AND orders.updated_at > :now
    WHERE status IS NOT 'fulfilled'
      AND status IN ('pending', 'processing')
      AND CASE status
              WHEN 'pending' THEN
                  CASE
                      WHEN created_at IS NULL THEN :everything
                      WHEN created_at > :now THEN created_at < :ahead_before
                      ELSE created_at < :created_before
                  END
                  AND CASE WHEN updated_at > :now THEN seen.first_seen ELSE coalesce(updated_at, 0) END < :idle_since
              ELSE CASE WHEN updated_at > :now THEN seen.first_seen ELSE coalesce(updated_at, 0) END < :silent_since
          END
      AND (
          coalesce(updated_at, created_at) < :oldest
          AND NOT EXISTS (SELECT 1 FROM fulfillment_holds h WHERE h.order_id = orders.id AND h.until > :oldest)
      ) IS NOT TRUE
      AND id > :after
      AND NOT EXISTS (
          SELECT 1 FROM fulfillment_holds h WHERE h.order_id = orders.id AND (h.until IS NULL OR h.until > :now)
      )
      AND (
          NOT EXISTS (
              SELECT 1 FROM fulfillment_horizon h
              WHERE orders.id <= h.last_order_id
                AND (
                    (coalesce(orders.created_at, orders.updated_at) < h.adopt_from) IS NOT FALSE
                    OR orders.created_at > :now + 86400000000
                )
          )
          OR EXISTS (SELECT 1 FROM fulfillment_begun_orders b WHERE b.order_id = orders.id)
      )
    ORDER BY id
    LIMIT :limit
)
SELECT p.id, p.product_id, p.quantity, p.status, p.fence, last.state, last.attempt,
       (
           SELECT e.correlation_id
           FROM fulfillment_events e
           WHERE e.order_id = p.id AND e.correlation_id IS NOT NULL
           ORDER BY e.at DESC
           LIMIT 1
       )
FROM page p
LEFT JOIN fulfillment_events last
    ON last.order_id = p.id
   AND last.at = (SELECT max(e.at) FROM fulfillment_events e WHERE e.order_id = p.id)
ORDER BY p.id;
