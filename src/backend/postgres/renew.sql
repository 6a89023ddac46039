-- Keeps row leases: the fence of a row in `processing` moves forward for whoever holds it.
--
-- $1 order ids (each once), $2 fences held, by position.
--
-- Guarantees: as `begin.sql`, whose header also tells why it is written this way. A fence that a trigger keeps from moving
-- counts as seen from now on, as its holder is there.
WITH request AS MATERIALIZED (
    SELECT r.order_id, r.fence
    FROM unnest((SELECT $1::int8[]), (SELECT $2::{time}[])) AS r (order_id, fence)
    {waiting} WHERE (SELECT set_config('lock_timeout', '10ms', true)) IS NOT NULL
),
found AS MATERIALIZED (
    SELECT o.id, o.updated_at, r.fence
    FROM request r
    JOIN {orders} o ON o.id {=} r.order_id
    ORDER BY o.id
    {passing} FOR NO KEY UPDATE OF o SKIP LOCKED
),
written AS (
    UPDATE {orders} o
    SET updated_at = greatest(clock_timestamp()::{time}, o.updated_at::{time} + {step})
    FROM found f
    WHERE o.id {=} f.id
      AND CASE WHEN o.status {=} 'processing' THEN o.updated_at {=} f.fence ELSE false END
    RETURNING o.id, o.updated_at, f.updated_at AS left_fence, {behind} AS behind
),
{noted}seen AS (
    UPDATE fulfillment.observed_fences s
    SET first_seen = clock_timestamp()
    FROM written n
    WHERE s.order_id {=} n.id AND s.fence {=} (n.updated_at{utc}) AND n.updated_at {<=} n.left_fence
)
SELECT r.order_id   AS order_id,
       CASE
           WHEN f.id IS NOT NULL THEN 'found'
           WHEN (SELECT true FROM {orders} o WHERE o.id {=} r.order_id) THEN 'locked'
           ELSE 'missing'
       END          AS presence,
       n.updated_at AS fence,
       n.updated_at {<=} n.left_fence AS stuck,
       n.behind     AS behind
FROM request r
LEFT JOIN found f ON f.id {=} r.order_id
LEFT JOIN written n ON n.id {=} r.order_id
