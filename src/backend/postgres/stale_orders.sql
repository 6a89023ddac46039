-- Number of open orders that were left as they are for longer than $1 seconds: neither a worker nor the end of a hold has touched them.
SELECT count(*) AS orders
FROM {open} o
WHERE o.status {=} ANY (ARRAY['pending', 'processing']::{status}[])
  AND coalesce(o.updated_at::timestamptz, o.created_at::timestamptz) < statement_timestamp() - $1::float8 * interval '1 second'
  AND NOT EXISTS (
      SELECT
      FROM fulfillment.holds h
      WHERE h.order_id = o.id::int8
        AND (h.until IS NULL OR h.until > statement_timestamp() - $1::float8 * interval '1 second')
  )
