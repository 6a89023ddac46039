-- Takes orders over from workers whose lease is over: processing -> processing.
--
-- Parameters and guarantees as in `begin.sql`, which has found these orders in `processing`.
--
-- Whether a lease is over (`held`) is told by the age of the fence, unless the clocks behind fences are in doubt: one lies in
-- the future, as after an hour that a time zone repeats; workers write in different time zones; fences come back behind the
-- clock. Then the same fence must have been seen for a lease, by whichever worker. Doubts are written along with the fences
-- that cause them, and read as they were when this statement began: so a fence that was written since is left alone.
WITH request AS MATERIALIZED (
    SELECT r.order_id, r.attempt, r.correlation_id
    FROM unnest((SELECT $1::int8[]), (SELECT $2::int4[]), (SELECT $3::text[])) AS r (order_id, attempt, correlation_id)
),
{clock},
found AS MATERIALIZED (
    SELECT o.id, o.status, o.updated_at, r.attempt, r.correlation_id, {held} AS held
    FROM request r
    JOIN {orders} o ON o.id {=} r.order_id
    ORDER BY o.id
    FOR NO KEY UPDATE OF o SKIP LOCKED
),
held AS MATERIALIZED (
    SELECT f.id,
           (f.updated_at{utc})::timestamp AS fence,
           coalesce(k.doubted OR f.updated_at::timestamptz > clock_timestamp(), false) AS unclear,
           CASE
               WHEN f.updated_at IS NULL THEN 'infinity'::float8
               WHEN k.doubted OR f.updated_at::timestamptz > clock_timestamp() THEN
                   coalesce(extract(epoch FROM clock_timestamp() - s.first_seen)::float8, 0)
               WHEN f.updated_at::{time} IS DISTINCT FROM (
                   SELECT o.updated_at::{time} FROM {orders} o WHERE o.id {=} f.id
               ) THEN 0
               WHEN f.updated_at::{time} = '-infinity' THEN 'infinity'::float8
               ELSE extract(epoch FROM clock_timestamp() - f.updated_at::timestamptz)::float8
           END AS idle
    FROM found f
    CROSS JOIN clock k
    LEFT JOIN fulfillment.observed_fences s ON s.order_id {=} f.id AND s.fence {=} (f.updated_at{utc})
    WHERE CASE WHEN f.status {=} 'processing' THEN true END
),
observed AS (
    INSERT INTO fulfillment.observed_fences AS s (order_id, fence, first_seen)
    SELECT h.id, h.fence, clock_timestamp() FROM held h WHERE h.unclear ORDER BY h.id
    ON CONFLICT (order_id) DO UPDATE SET fence = excluded.fence, first_seen = excluded.first_seen
    WHERE s.fence <> excluded.fence
),
written AS (
    UPDATE {orders} o
    SET status = 'processing',
        updated_at = greatest(clock_timestamp()::{time}, nullif(o.updated_at::{time}, 'infinity') + {step})
    FROM found f
    JOIN held h ON h.id {=} f.id
    WHERE o.id {=} f.id
      AND f.held IS NULL
      AND CASE
              WHEN o.status {=} 'processing' THEN
                  h.idle > $4::float8 AND h.fence IS NOT DISTINCT FROM (o.updated_at{utc})::timestamp
              ELSE false
          END
    RETURNING o.id, o.product_id, o.quantity, o.created_at, o.updated_at, f.attempt, f.correlation_id,
              nullif(f.updated_at::{time}, 'infinity') AS left_fence, {behind} AS behind
),
{noted}event AS (
    INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)
    SELECT s.id, {event_at}, 'processing', s.attempt, $5::text, s.correlation_id, $7::text
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
       h.idle                         AS idle,
       f.held                         AS held,
       s.product_id::int8             AS product_id,
       (SELECT p.name::text FROM {products} p WHERE p.id {=} s.product_id) AS product,
       s.quantity::int8               AS quantity,
       s.created_at                   AS created_at,
       NULL::float8                   AS waited
FROM request r
LEFT JOIN found f ON f.id {=} r.order_id
LEFT JOIN held h ON h.id {=} r.order_id
LEFT JOIN written s ON s.id {=} r.order_id
