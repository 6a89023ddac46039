-- Holds orders that are pending or processing.
--
-- $1 order ids (each once), $2 worker, $3 whether this is kept in the timeline, $4 what it notes, $5 whether anything is written, or
-- only told, $6 who, $7 why, $8 until when, $9 for how many seconds; with neither, without an end.
--
-- Guarantees: one transaction; a row that another transaction has locked is passed over and said to be locked; rows are locked in
-- order of id. The fence of an order that is pending moves: a worker that began to look at it before can't begin it any more
-- (begin.sql). The fence of one that is processing stays its worker's. The hold takes the place of one before; one of the same author,
-- reason and end is left as it is, so that a batch may be repeated.
WITH request AS MATERIALIZED (
    SELECT r.order_id FROM pg_catalog.unnest((SELECT $1::int8[])) AS r (order_id)
),
found AS MATERIALIZED (
    SELECT o.id, o.status, o.updated_at, o.product_id, o.quantity, o.created_at
    FROM request r
    JOIN {orders} o ON o.id {=} r.order_id
    ORDER BY o.id
    FOR NO KEY UPDATE OF o SKIP LOCKED
),
open AS MATERIALIZED (
    SELECT f.id, f.status::text AS status, f.updated_at,
           EXISTS (
               SELECT
               FROM fulfillment.holds h
               WHERE h.order_id = f.id::int8
                 AND h.held_by = $6::text
                 AND h.why = $7::text
                 AND h.until IS NOT DISTINCT FROM $8::timestamptz
                 AND $9::float8 IS NULL
                 AND (h.until IS NULL OR h.until > clock_timestamp())
           ) AS is_same
    FROM found f
    WHERE $5::bool AND CASE WHEN f.status {=} 'pending' OR f.status {=} 'processing' THEN true ELSE false END
),
moved AS (
    UPDATE {orders} o
    SET updated_at = greatest(clock_timestamp()::{time}, nullif(o.updated_at::{time}, 'infinity') + {step})
    FROM open f
    WHERE o.id {=} f.id AND NOT f.is_same AND CASE WHEN o.status {=} 'pending' THEN true ELSE false END
    RETURNING o.id, o.updated_at
),
written AS (
    INSERT INTO fulfillment.holds AS h (order_id, until, held_by, why, at)
    SELECT f.id,
           coalesce($8::timestamptz, clock_timestamp() + $9::float8 * interval '1 second'),
           $6::text, $7::text, clock_timestamp()
    FROM open f
    WHERE NOT f.is_same
    ORDER BY f.id
    ON CONFLICT (order_id) DO UPDATE
    SET until = excluded.until, held_by = excluded.held_by, why = excluded.why, at = excluded.at
    RETURNING h.order_id
),
event AS (
    INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)
    SELECT f.id,
           greatest(coalesce((m.updated_at{utc})::timestamp, {asked}), last.at + interval '1 microsecond'),
           f.status,
           -- As it was, so that whoever counts attempts by the timeline counts as before.
           CASE WHEN last.state {=} f.status THEN last.attempt ELSE 0 END,
           -- What concludes an attempt has the worker of the entry before it.
           CASE WHEN f.status {=} 'processing' THEN '' ELSE $2::text END,
           NULL,
           $4::text
    FROM open f
    LEFT JOIN moved m ON m.id {=} f.id
    LEFT JOIN LATERAL (
        SELECT e.at, e.state, e.attempt
        FROM fulfillment.events e
        WHERE e.order_id {=} f.id
        ORDER BY e.at DESC
        LIMIT 1
    ) AS last ON true
    WHERE $3::bool AND NOT f.is_same
    ON CONFLICT DO NOTHING
)
SELECT r.order_id           AS order_id,
       CASE
           WHEN f.id IS NOT NULL THEN 'found'
           WHEN (SELECT true FROM {orders} o WHERE o.id {=} r.order_id) THEN 'locked'
           ELSE 'missing'
       END                  AS presence,
       f.status::text       AS found_status,
       w.order_id IS NOT NULL OR coalesce(p.is_same, false) AS written,
       f.product_id::int8   AS product_id,
       f.quantity::int8     AS quantity,
       f.created_at         AS created_at,
       NULL::text           AS correlation_id
FROM request r
LEFT JOIN found f ON f.id {=} r.order_id
LEFT JOIN open p ON p.id {=} r.order_id
LEFT JOIN written w ON w.order_id = r.order_id
