-- When the first of the orders $1 that is open was created; or the earliest that was created at most $2 seconds before it.
--
-- CASE, as in begin.sql, keeps the planner from the index on status, whose statistics are stale in a busy queue.
WITH found AS (
    SELECT r.position, coalesce(o.created_at, o.updated_at)::timestamptz AS at
    FROM pg_catalog.unnest($1::int8[]) WITH ORDINALITY AS r (order_id, position)
    JOIN {orders} o ON o.id {=} r.order_id
    WHERE CASE WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN true ELSE false END
      AND isfinite(coalesce(o.created_at, o.updated_at))
),
first AS (
    SELECT at FROM found ORDER BY position LIMIT 1
)
SELECT min(found.at) AS at
FROM found
JOIN first ON found.at >= first.at - $2::float8 * interval '1 second'
