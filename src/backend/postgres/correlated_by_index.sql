-- Orders below $2 whose timeline has correlation id $1, the newest first, at most $3. An id is also found by the 256 characters
-- that are kept of a longer one.
--
-- Reads what the index on correlation ids leads to. Changes nothing and waits for nobody.
WITH found AS MATERIALIZED (
    SELECT e.order_id
    FROM fulfillment.events e
    WHERE e.correlation_id = $1::text OR e.correlation_id = left($1::text, 256)
)
SELECT DISTINCT f.order_id AS order_id
FROM found f
WHERE f.order_id < $2::int8
ORDER BY f.order_id DESC
LIMIT $3::int8
