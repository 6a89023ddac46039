-- Orders by status. The index leaves out the fulfilled ones, so those are what is left of the total.
WITH others AS (
    SELECT coalesce(status, 'null') AS status, count(*) AS number FROM orders WHERE status IS NOT 'fulfilled' GROUP BY 1
)
SELECT status, number FROM others
UNION ALL
SELECT 'fulfilled', (SELECT count(*) FROM orders) - coalesce((SELECT sum(number) FROM others), 0)
ORDER BY 1;
