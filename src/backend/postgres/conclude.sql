-- Ends attempts: processing -> fulfilled, pending or failed, for whoever holds the fence.
--
-- By position: $1 order ids (each once), $2 fences held, $3 states to enter, $4 attempts, $5 correlation ids, $6 notes.
-- $7 worker, $8 whether transitions are kept in the timeline.
-- Dead letters of the orders that fail, by position among themselves: $9 order ids, $10 claim ids, $11 payloads,
-- $12 reasons, $13 details, $14 attempts.
--
-- Guarantees: as `begin.sql`, whose header also tells why it is written this way. A dead letter is written if and only
-- if its order's transition is.
WITH request AS MATERIALIZED (
    SELECT r.order_id, r.fence, r.state, r.attempt, r.correlation_id, r.note
    FROM unnest(
        (SELECT $1::int8[]), (SELECT $2::{time}[]), (SELECT $3::text[]),
        (SELECT $4::int4[]), (SELECT $5::text[]), (SELECT $6::text[])
    ) AS r (order_id, fence, state, attempt, correlation_id, note)
    {patience}
),
found AS MATERIALIZED (
    SELECT o.id, o.status, o.updated_at, o.created_at, r.fence, r.state, r.attempt, r.correlation_id, r.note
    FROM request r
    JOIN {orders} o ON o.id {=} r.order_id
    ORDER BY o.id
    {passing}
),
concluded AS (
    UPDATE {orders} o
    SET status = f.state::{status},
        updated_at = greatest(clock_timestamp()::{time}, o.updated_at::{time} + {step})
    FROM found f
    WHERE o.id {=} f.id
      AND CASE WHEN o.status {=} 'processing' THEN o.updated_at {=} f.fence ELSE false END
    RETURNING o.id, o.updated_at, f.state, f.attempt, f.correlation_id, f.note, f.updated_at AS left_fence
),
event AS (
    INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)
    SELECT s.id, {event_at}, s.state, s.attempt, $7::text, s.correlation_id, s.note
    FROM concluded s
    WHERE $8::bool
    ON CONFLICT DO NOTHING
),
letter AS (
    INSERT INTO fulfillment.dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
    SELECT l.claim_id, s.id, l.payload, l.reason, l.detail, l.attempts, $7::text, (s.updated_at{utc})
    FROM unnest(
        (SELECT $9::int8[]), (SELECT $10::text[]), (SELECT $11::bytea[]),
        (SELECT $12::text[]), (SELECT $13::text[]), (SELECT $14::int4[])
    ) AS l (order_id, claim_id, payload, reason, detail, attempts)
    JOIN concluded s ON s.id {=} l.order_id
    ON CONFLICT DO NOTHING
)
SELECT r.order_id                   AS order_id,
       CASE
           WHEN f.id IS NOT NULL THEN 'found'
           WHEN (SELECT true FROM {orders} o WHERE o.id {=} r.order_id) THEN 'locked'
           ELSE 'missing'
       END                          AS presence,
       f.status::text               AS found_status,
       f.updated_at                 AS found_at,
       {age f.created_at}           AS age,
       s.updated_at                 AS fence,
       s.updated_at {<=} s.left_fence AS stuck
FROM request r
LEFT JOIN found f ON f.id {=} r.order_id
LEFT JOIN concluded s ON s.id {=} r.order_id
