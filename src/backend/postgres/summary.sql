-- Number of orders by status, and when the oldest of each was created; the clock with every row.
SELECT s.status,
       s.orders,
       s.oldest_created_at,
       clock_timestamp()::timestamp AS read_at
FROM (
    SELECT coalesce(status::text, 'null') AS status,
           count(*)                       AS orders,
           min(created_at)                AS oldest_created_at
    FROM orders
    GROUP BY 1
) AS s
ORDER BY s.status
