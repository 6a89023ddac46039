-- Number of orders by status, and when the oldest of each was created; the clock and the number of dead letters with
-- every row. Resolved letters don't count. One snapshot, and a row even where there are no orders.
SELECT s.status,
       s.orders,
       s.oldest_created_at,
       clock_timestamp()::timestamp                          AS read_at,
       (SELECT count(*) FROM fulfillment.dead_letters WHERE resolved_at IS NULL) AS dead_letters
FROM (SELECT 1) AS always (one)
LEFT JOIN (
    SELECT coalesce(status::text, 'null') AS status,
           count(*)                       AS orders,
           min(created_at)                AS oldest_created_at
    FROM orders
    GROUP BY 1
) AS s ON true
ORDER BY s.status
