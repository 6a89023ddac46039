-- The database's current minute, without orders; and the orders that were placed in the last $1 minutes, it included, a row each
-- minute. Changes nothing.
WITH clock AS MATERIALIZED (
    SELECT date_trunc('minute', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS minute
)
SELECT c.minute, NULL::int8 AS orders FROM clock c
UNION ALL
SELECT a.minute, a.orders
FROM fulfillment.arrivals a
CROSS JOIN clock c
WHERE a.minute > c.minute - $1::float8 * interval '1 minute' AND a.minute <= c.minute
ORDER BY 1, 2
LIMIT 100000
