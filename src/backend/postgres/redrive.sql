-- Puts the orders of dead letters back: failed -> pending, and marks the letters as retried.
--
-- $1 ids of letters, $2 worker, $3 whether transitions are kept in the timeline, $4 what it notes, $5 who, $6 why.
--
-- Guarantees: one transaction; an order is moved only from `failed`, which is repeated on the row that is written and
-- re-checked after a wait for its lock; its letters are marked if and only if it is moved; a letter that was retried before
-- moves nothing, nor does one whose order's row was lost, as the row with its id is another one; the fence moves strictly forward. Letters are locked before orders, each in order of id, and nothing else
-- locks a letter before an order. The reconciler looks after the orders from then on, whatever their age and
-- wherever the low-water mark is. Only letters that are
-- there are in the answer, as they and their orders were before.
WITH letter AS MATERIALIZED (
    SELECT l.id, l.order_id, l.payload, l.reason, l.resolution
    FROM fulfillment.dead_letters l
    WHERE l.id = ANY ($1::int8[])
    ORDER BY l.id
    FOR UPDATE OF l
),
found AS MATERIALIZED (
    SELECT o.id, o.status, o.updated_at
    FROM (SELECT DISTINCT order_id FROM letter) AS r
    JOIN {orders} o ON o.id {=} r.order_id
    ORDER BY o.id
    FOR NO KEY UPDATE OF o
),
redriven AS (
    UPDATE {orders} o
    SET status = 'pending',
        updated_at = greatest(clock_timestamp()::{time}, nullif(o.updated_at::{time}, 'infinity') + {step})
    FROM found f
    WHERE o.id {=} f.id
      AND CASE WHEN o.status {=} 'failed' THEN true ELSE false END
      AND EXISTS (
          SELECT FROM letter l
          WHERE l.order_id {=} f.id AND l.resolution IS DISTINCT FROM 'retried' AND l.reason <> 'row_gone'
      )
    RETURNING o.id, o.updated_at, nullif(f.updated_at::{time}, 'infinity') AS left_fence
),
event AS (
    INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)
    SELECT s.id, {event_at}, 'pending', 0, $2::text, NULL, $4::text
    FROM redriven s
    WHERE $3::bool
    ON CONFLICT DO NOTHING
),
begun AS (
    INSERT INTO fulfillment.begun_orders (order_id)
    SELECT r.id
    FROM redriven r
    JOIN fulfillment.horizon h ON r.id {<=} h.last_order_id
    ON CONFLICT DO NOTHING
),
{straggling}marked AS (
    UPDATE fulfillment.dead_letters d
    SET resolved_at = (r.updated_at{utc}),
        resolution = 'retried',
        resolved_by = $5::text,
        resolved_reason = $6::text || CASE d.resolution
            WHEN 'discarded' THEN format(' (before: discarded by %s: %s)', d.resolved_by, d.resolved_reason)
            ELSE ''
        END
    FROM letter l
    JOIN redriven r ON r.id {=} l.order_id
    WHERE d.id = l.id
      AND d.resolution IS DISTINCT FROM 'retried'
      AND d.reason <> 'row_gone'
)
SELECT l.id             AS id,
       l.order_id       AS order_id,
       l.payload        AS payload,
       l.reason         AS reason,
       l.resolution     AS resolution,
       f.id IS NOT NULL AS has_row,
       f.status::text   AS order_status,
       r.id IS NOT NULL AS redriven
FROM letter l
LEFT JOIN found f ON f.id {=} l.order_id
LEFT JOIN redriven r ON r.id {=} l.order_id
