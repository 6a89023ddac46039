-- Calls orders off: pending -> cancelled, and processing -> cancelled at the fence found.
--
-- $1 order ids (each once), $2 worker, $3 whether transitions are kept in the timeline, $4 what it notes, $5 whether anything is
-- written, or only told.
--
-- Guarantees: one transaction; a row that another transaction has locked is passed over and said to be locked; rows are locked in
-- order of id; state and fence are those found under the lock, and repeated on the row that is written; the fence moves strictly
-- forward, so that a worker that holds the order is superseded. Of an order that is locked, done or not there nothing is written.
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
written AS (
    UPDATE {orders} o
    SET status = 'cancelled',
        updated_at = greatest(clock_timestamp()::{time}, nullif(o.updated_at::{time}, 'infinity') + {step})
    FROM found f
    WHERE o.id {=} f.id
      AND $5::bool
      AND CASE
              WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN o.updated_at::{time} IS NOT DISTINCT FROM f.updated_at::{time}
              ELSE false
          END
    RETURNING o.id, o.updated_at, nullif(f.updated_at::{time}, 'infinity') AS left_fence
),
event AS (
    INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)
    SELECT s.id, {event_at}, 'cancelled', 0, $2::text, NULL, $4::text
    FROM written s
    WHERE $3::bool
    ON CONFLICT DO NOTHING
),
unheld AS (
    DELETE FROM fulfillment.holds h USING written s WHERE h.order_id = s.id::int8
)
SELECT r.order_id           AS order_id,
       CASE
           WHEN f.id IS NOT NULL THEN 'found'
           WHEN (SELECT true FROM {orders} o WHERE o.id {=} r.order_id) THEN 'locked'
           ELSE 'missing'
       END                  AS presence,
       f.status::text       AS found_status,
       s.id IS NOT NULL     AS written,
       f.product_id::int8   AS product_id,
       f.quantity::int8     AS quantity,
       f.created_at         AS created_at,
       NULL::text           AS correlation_id
FROM request r
LEFT JOIN found f ON f.id {=} r.order_id
LEFT JOIN written s ON s.id {=} r.order_id
