-- Number of open orders that were left as they are for longer than $1 seconds.
SELECT count(*) AS orders
FROM {open} o
WHERE o.status {=} ANY (ARRAY['pending', 'processing']::{status}[])
  AND coalesce(o.updated_at::timestamptz, o.created_at::timestamptz) < statement_timestamp() - $1::float8 * interval '1 second'
