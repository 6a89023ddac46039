-- Moves the low-water mark over closed orders, and looks again at a piece of what lies below it.
--
-- $1 orders looked at on either side, at most; $2 stragglers, at most; $3 how many of the greatest ids the mark stays away from.
--
-- Only for `orders` without an index on `status`. What the mark has passed was closed, or is noted as a straggler by the same
-- statement; so whatever dies, the mark is too low at worst. It stops where
--   more than a tenth of the next orders are open, or there are too many stragglers: at the first of these orders;
--   a transaction that may have been given a smaller id has not ended, for an hour at most.
-- What appears below it all the same (an order that somebody opened again, ids that don't rise) the sweep finds, a piece at a time,
-- from the lowest id up to the mark and over again.
--
-- Guarantees: one transaction; the mark is moved only from where the snapshot has seen it, so that of two that move it at once,
-- one moves nothing; a straggler goes only if its order is closed, and was not noted anew meanwhile, as by `redrive.sql`. No
-- row of `orders` is locked.
WITH mark AS MATERIALIZED (
    SELECT m.closed_up_to, m.swept_up_to, m.settling_id, m.settling_xid, m.settling_from,
           m.settling_id IS NULL
               OR m.settling_xid <= txid_snapshot_xmin(txid_current_snapshot())
               OR m.settling_from < clock_timestamp() - interval '1 hour' AS is_settled
    FROM fulfillment.low_water_mark m
),
ahead AS MATERIALIZED (
    SELECT o.id::int8 AS id, CASE WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN true ELSE false END AS is_open
    FROM {orders} o
    WHERE o.id {>} (SELECT m.closed_up_to FROM mark m)
      AND o.id {<=} (SELECT m.settling_id FROM mark m WHERE m.is_settled)
    ORDER BY o.id
    LIMIT $1::int8
),
step AS MATERIALIZED (
    SELECT f.orders, f.first_open, f.last, f.stragglers, f.room, f.passes,
           f.orders = $1::int8 AND (f.passes OR f.first_open - 1 > f.closed_up_to) AS advances
    FROM (
        SELECT g.*, m.closed_up_to, g.open = 0 OR (g.open * 10 <= g.orders AND g.open <= g.room) AS passes
        FROM (
            SELECT count(a.id)                                 AS orders,
                   count(a.id) FILTER (WHERE a.is_open)        AS open,
                   min(a.id) FILTER (WHERE a.is_open)          AS first_open,
                   max(a.id)                                   AS last,
                   n.stragglers,
                   greatest($2::int8 - n.stragglers, 0)        AS room
            FROM (SELECT count(*) AS stragglers FROM fulfillment.stragglers) AS n
            LEFT JOIN ahead a ON true
            GROUP BY n.stragglers
        ) AS g
        CROSS JOIN mark m
    ) AS f
),
behind AS MATERIALIZED (
    SELECT o.id::int8 AS id, CASE WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN true ELSE false END AS is_open
    FROM {orders} o
    WHERE o.id {>} (SELECT m.swept_up_to FROM mark m)
      AND o.id {<=} (SELECT m.closed_up_to FROM mark m)
    ORDER BY o.id
    LIMIT CASE WHEN (SELECT s.advances FROM step s) THEN 0 ELSE $1::int8 END
),
found AS MATERIALIZED (
    SELECT b.id
    FROM behind b
    WHERE b.is_open AND NOT EXISTS (SELECT FROM fulfillment.stragglers s WHERE s.order_id = b.id)
),
look AS MATERIALIZED (
    SELECT count(*) AS orders, max(b.id) AS last, (SELECT count(*) FROM found) AS found, (SELECT min(f.id) FROM found f) AS first_found
    FROM behind b
),
moved AS MATERIALIZED (
    SELECT s.passes,
           -- Stragglers that the step adds are no more than a tenth of it, and the bound need not be that exact.
           l.found <= s.room AS has_room,
           CASE
               WHEN l.found > s.room THEN l.first_found - 1
               WHEN s.orders = 0 THEN CASE WHEN m.is_settled THEN greatest(m.settling_id, m.closed_up_to) ELSE m.closed_up_to END
               WHEN s.passes THEN s.last
               ELSE s.first_open - 1
           END AS closed_up_to,
           CASE
               WHEN s.advances OR l.found > s.room THEN m.swept_up_to
               WHEN l.orders >= $1::int8 THEN l.last
               ELSE '-9223372036854775808'::int8
           END AS swept_up_to,
           -- Fewer orders than are looked at stop nothing for good: with more of them, one may be few enough to pass.
           m.is_settled AND NOT s.advances AND (s.passes OR s.orders < $1::int8) AS is_through
    FROM step s
    CROSS JOIN look l
    CROSS JOIN mark m
),
noted AS (
    INSERT INTO fulfillment.stragglers AS s (order_id, noted_at)
    SELECT n.id, clock_timestamp()
    FROM (
        SELECT a.id FROM ahead a, moved v WHERE a.is_open AND v.passes AND v.has_room
        UNION ALL
        SELECT f.id FROM found f, moved v WHERE v.has_room
    ) AS n
    ORDER BY n.id
    ON CONFLICT (order_id) DO UPDATE SET noted_at = excluded.noted_at
),
seen AS MATERIALIZED (
    SELECT s.order_id, s.noted_at
    FROM fulfillment.stragglers s
    CROSS JOIN step t
    WHERE NOT t.advances
      -- Of more than are looked at otherwise, another part each time.
      AND random() * t.stragglers::float8 < $1::int8::float8
      AND NOT EXISTS (
          SELECT
          FROM {orders} o
          WHERE o.id {=} s.order_id
            AND CASE WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN true ELSE false END
      )
),
closed AS (
    DELETE FROM fulfillment.stragglers s
    USING seen
    WHERE s.order_id = seen.order_id AND s.noted_at = seen.noted_at
),
settling AS MATERIALIZED (
    SELECT (SELECT o.id::int8 FROM {orders} o ORDER BY o.id DESC OFFSET $3::int8 LIMIT 1) AS id,
           txid_snapshot_xmax(txid_current_snapshot())                                AS xid
    FROM moved v
    WHERE v.is_through
),
written AS (
    UPDATE fulfillment.low_water_mark w
    SET closed_up_to = CASE
            -- Back, too, where the newest orders are gone and ids begin anew.
            WHEN v.is_through THEN least(v.closed_up_to, coalesce((SELECT t.id FROM settling t), '-9223372036854775808'::int8))
            ELSE v.closed_up_to
        END,
        swept_up_to = v.swept_up_to,
        settling_id = CASE WHEN v.is_through THEN (SELECT t.id FROM settling t) ELSE m.settling_id END,
        settling_xid = CASE WHEN v.is_through THEN (SELECT t.xid FROM settling t) ELSE m.settling_xid END,
        settling_from = CASE WHEN v.is_through THEN clock_timestamp() ELSE m.settling_from END
    FROM moved v
    CROSS JOIN mark m
    WHERE w.closed_up_to = m.closed_up_to
      AND w.swept_up_to = m.swept_up_to
      AND w.settling_from = m.settling_from
    RETURNING w.closed_up_to
)
SELECT (SELECT w.closed_up_to FROM written w)                                       AS closed_up_to,
       s.advances                                                                   AS goes_on,
       l.orders + s.orders                                                          AS orders,
       l.found                                                                      AS found,
       l.orders < $1::int8 AND v.has_room AND NOT s.advances                         AS swept
FROM step s
CROSS JOIN look l
CROSS JOIN moved v
CROSS JOIN mark m
