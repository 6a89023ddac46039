-- Takes orders into work: pending -> processing.
--
-- $1 order ids (each once), $2 attempts, $3 correlation ids, by position; $4 lease in seconds, $5 worker,
-- $6 whether transitions are kept in the timeline, $7 what it notes of an order that is taken over. `take_over.sql` has the same
-- parameters, and $4 and $7 are of use there alone.
--
-- It has two forms, and lines marked with the one that has them (transition.rs). One sets a limit on the wait for a locked row, over
-- which the whole statement fails; the other one passes such rows over and says that they are locked. `found` is the row as it
-- was when the statement began, or, with its lock, as it is.
--
-- Guarantees: one transaction; nobody's open transaction holds up the other rows for more than that limit; rows are locked in
-- order of id; the guard is repeated on the row that is written, and re-checked on its newest version, which is ours to write
-- by then; the fence moves strictly forward by the database's clock. Every order is in the answer once. One that was there when the horizon was set is noted as begun, so that the
-- reconciler looks after it whatever its age. `take_over.sql` is asked about orders that are found in `processing`. An order that
-- is held is not begun; nor is one whose fence has moved since the statement began, which is asked about again: a hold moves the
-- fence of an order that is pending, so that none begins behind its back.
--
-- Why it is written this way:
--   `(SELECT $1)` hides the length of the array: the planner assumes a few rows and stays with the primary key.
--   CASE instead of `status = ...` keeps it from the index on status, whose statistics are stale in a busy queue.
--   The limit is set in `request`, which is read before any row is touched, and in a subquery, which is run once.
--   FOR NO KEY UPDATE is the lock that the UPDATE takes anyway, and lets foreign keys on `orders` be checked.
--   Whether a row that was not found is locked or not there is asked for such rows alone, in a subquery that can't become
--   a scan of the table, as EXISTS could.
WITH request AS MATERIALIZED (
    SELECT r.order_id, r.attempt, r.correlation_id
    FROM unnest((SELECT $1::int8[]), (SELECT $2::int4[]), (SELECT $3::text[])) AS r (order_id, attempt, correlation_id)
    {waiting} WHERE (SELECT set_config('lock_timeout', '10ms', true)) IS NOT NULL
),
found AS MATERIALIZED (
    SELECT o.id, o.status, o.updated_at, r.attempt, r.correlation_id, {held} AS held
    FROM request r
    JOIN {orders} o ON o.id {=} r.order_id
    ORDER BY o.id
    {passing} FOR NO KEY UPDATE OF o SKIP LOCKED
),
written AS (
    UPDATE {orders} o
    SET status = 'processing',
        updated_at = greatest(clock_timestamp()::{time}, nullif(o.updated_at::{time}, 'infinity') + {step})
    FROM found f
    WHERE o.id {=} f.id
      AND CASE WHEN o.status {=} 'pending' THEN true ELSE false END
      AND f.held IS NULL
      {waiting} AND o.updated_at::{time} IS NOT DISTINCT FROM f.updated_at::{time}
      {passing} AND f.updated_at::{time} IS NOT DISTINCT FROM (SELECT s.updated_at::{time} FROM {orders} s WHERE s.id {=} f.id)
    RETURNING o.id, o.product_id, o.quantity, o.created_at, o.updated_at, f.attempt, f.correlation_id,
              nullif(f.updated_at::{time}, 'infinity') AS left_fence, {behind} AS behind
),
{noted}event AS (
    INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)
    SELECT s.id, {event_at}, 'processing', s.attempt, $5::text, s.correlation_id, NULL
    FROM written s
    WHERE $6::bool
    {if_taken}
),
begun AS (
    INSERT INTO fulfillment.begun_orders (order_id)
    SELECT s.id
    FROM written s
    JOIN fulfillment.horizon h ON s.id {<=} h.last_order_id
    ON CONFLICT DO NOTHING
)
SELECT r.order_id                     AS order_id,
       CASE
           WHEN f.id IS NOT NULL THEN 'found'
           WHEN (SELECT true FROM {orders} o WHERE o.id {=} r.order_id) THEN 'locked'
           ELSE 'missing'
       END                            AS presence,
       s.updated_at                   AS fence,
       s.updated_at {<=} s.left_fence   AS stuck,
       s.behind                       AS behind,
       f.status::text                 AS found_status,
       NULL::float8                   AS idle,
       f.held                         AS held,
       s.product_id::int8             AS product_id,
       (SELECT p.name::text FROM {products} p WHERE p.id {=} s.product_id) AS product,
       s.quantity::int8               AS quantity,
       s.created_at                   AS created_at,
       CASE WHEN r.attempt = 1 THEN {age s.created_at} END AS waited
FROM request r
LEFT JOIN found f ON f.id {=} r.order_id
LEFT JOIN written s ON s.id {=} r.order_id
