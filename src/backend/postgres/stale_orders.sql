-- Number of open orders that were left as they are for longer than $1 seconds.
SELECT count(*) AS orders
FROM orders
WHERE status IN ('pending', 'processing')
  AND coalesce(updated_at::timestamptz, created_at::timestamptz) < statement_timestamp() - $1::float8 * interval '1 second'
