-- Number of open orders that were left as they are for longer than $1 seconds.
SELECT count(*) AS orders
FROM {orders}
WHERE status {=} ANY (ARRAY['pending', 'processing']::{status}[])
  AND coalesce(updated_at::timestamptz, created_at::timestamptz) < statement_timestamp() - $1::float8 * interval '1 second'
