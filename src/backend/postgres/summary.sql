-- Number of orders by status, and the age of the oldest of each, null where the clocks don't tell it (see open_orders.sql).
WITH {clock}
SELECT s.status,
       s.orders,
       CASE WHEN s.in_future = 0 AND NOT k.zones_disagree THEN {age s.oldest} END AS age,
       (SELECT count(*) FROM fulfillment.holds h WHERE h.until IS NULL OR h.until > clock_timestamp()) AS held
FROM clock k
CROSS JOIN (
    SELECT coalesce(o.status::text, 'null')                                                      AS status,
           count(*)                                                                              AS orders,
           min(o.created_at) FILTER (WHERE isfinite(o.created_at))                               AS oldest,
           count(*) FILTER (WHERE o.created_at::timestamptz > clock_timestamp() + interval '2 seconds'
                            AND isfinite(o.created_at))                                          AS in_future
    FROM {orders} o
    GROUP BY 1
) AS s
ORDER BY s.status
