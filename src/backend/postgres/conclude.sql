-- Ends attempts: processing -> fulfilled, pending or failed, for whoever holds the fence.
--
-- By position: $1 order ids (each once, in order, in which rows are locked), $2 fences held, $3 states to enter, $4 attempts, $5 notes.
-- $6 worker, $7 whether transitions are kept in the timeline.
-- Dead letters of the orders that fail, by position among themselves: $8 order ids, $9 claim ids, $10 payloads,
-- $11 reasons, $12 details, $13 attempts.
--
-- Guarantees: as `begin.sql`, whose header also tells why it is written this way and what its two forms are. The one that waits
-- says nothing of a row that it doesn't write: nobody has to find what is written anyway. A dead letter is written if and only
-- if its order's transition is. An entry of the timeline has worker '': the worker and the correlation id are those of
-- the entry that began the attempt, and not written again.
WITH request AS MATERIALIZED (
    SELECT r.order_id, r.fence, r.state, r.attempt, r.note
    FROM unnest(
        (SELECT $1::int8[]), (SELECT $2::{time}[]), (SELECT $3::text[]),
        (SELECT $4::int4[]), (SELECT $5::text[])
    ) AS r (order_id, fence, state, attempt, note)
    {waiting} WHERE (SELECT set_config('lock_timeout', '10ms', true)) IS NOT NULL
),
{waiting} found AS NOT MATERIALIZED (
{waiting}     SELECT r.order_id AS id, NULL::text AS status, r.fence AS updated_at, NULL::{created} AS created_at,
{waiting}            r.fence, r.state, r.attempt, r.note
{waiting}     FROM request r
{passing} found AS MATERIALIZED (
{passing}     SELECT o.id, o.status, o.updated_at, o.created_at, r.fence, r.state, r.attempt, r.note
{passing}     FROM request r
{passing}     JOIN {orders} o ON o.id {=} r.order_id
{passing}     ORDER BY o.id
{passing}     FOR NO KEY UPDATE OF o SKIP LOCKED
),
concluded AS (
    UPDATE {orders} o
    SET status = f.state::{status},
        updated_at = greatest(clock_timestamp()::{time}, o.updated_at::{time} + {step})
    FROM found f
    WHERE o.id {=} f.id
      AND CASE WHEN o.status {=} 'processing' THEN o.updated_at {=} f.fence ELSE false END
    RETURNING o.id, o.updated_at, o.created_at, f.state, f.attempt, f.note, f.updated_at AS left_fence
),
event AS (
    INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, note)
    SELECT s.id, {event_at}, s.state, s.attempt, '', s.note
    FROM concluded s
    WHERE $7::bool
    {if_taken}
),
letter AS (
    INSERT INTO fulfillment.dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
    SELECT l.claim_id, s.id, l.payload, l.reason, l.detail, l.attempts, $6::text, (s.updated_at{utc})
    FROM unnest(
        (SELECT $8::int8[]), (SELECT $9::text[]), (SELECT $10::bytea[]),
        (SELECT $11::text[]), (SELECT $12::text[]), (SELECT $13::int4[])
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
       s.updated_at                 AS fence,
       s.updated_at {<=} s.left_fence AS stuck,
       f.status::text               AS found_status,
       f.updated_at                 AS found_at,
       {age coalesce(s.created_at, f.created_at)} AS age,
       f.created_at                 AS found_created_at
FROM request r
LEFT JOIN found f ON f.id {=} r.order_id
LEFT JOIN concluded s ON s.id {=} r.order_id
