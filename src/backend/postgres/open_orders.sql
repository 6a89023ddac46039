-- Number of open orders by status, the age of the oldest of each, and what is known of the clocks behind the ages.
--
-- An age is null where none has a `created_at`, infinity being none, and where the clocks don't tell it: workers write in
-- different time zones, or some order's time lies in the future, or in an hour that its time zone repeats. With each comes
-- the newest order of all, with its age: whoever saw another one before knows when it was inserted.
--
-- The orders that are held are counted beside, with the age of the oldest hold, and no hold is part of an age.
--
-- Reads open orders alone, by the index on status, or where there is none, from the low-water mark on: what is done is not
-- looked at, however much it is. Changes nothing and waits for nobody.
WITH {clock},
open AS MATERIALIZED (
    SELECT o.status::text                                                                       AS status,
           count(*)                                                                             AS orders,
           min(o.created_at) FILTER (WHERE isfinite(o.created_at) AND {held} IS NULL)           AS oldest,
           count(*) FILTER (WHERE o.created_at::timestamptz > clock_timestamp() + interval '2 seconds'
                            AND isfinite(o.created_at))                                         AS in_future
    FROM {open} o
    WHERE o.status {=} ANY (ARRAY['pending', 'processing']::{status}[])
    GROUP BY o.status
),
newest AS MATERIALIZED (
    SELECT o.id, o.created_at FROM {orders} o ORDER BY o.id DESC LIMIT 1
)
SELECT o.status                                                        AS status,
       o.orders                                                        AS orders,
       o.oldest IS NOT NULL                                            AS has_time,
       CASE WHEN o.in_future = 0 AND NOT k.zones_disagree THEN {age o.oldest} END AS age,
       k.zones_disagree                                                AS zones_disagree,
       k.doubted                                                       AS doubted,
       (SELECT count(*) FROM fulfillment.holds h WHERE h.until IS NULL OR h.until > clock_timestamp()) AS held,
       n.id::int8                                                      AS newest_id,
       CASE WHEN isfinite(n.created_at)
            THEN extract(epoch FROM clock_timestamp() - n.created_at::timestamptz)::float8 END AS newest_age
FROM clock k
LEFT JOIN newest n ON true
LEFT JOIN open o ON true
