-- Keeps row leases: the fence of a row in `processing` moves forward for whoever holds it.
--
-- $1 order ids (each once), $2 fences held, by position.
--
-- Guarantees: as `begin.sql`, whose header also tells why it is written this way.
WITH request AS MATERIALIZED (
    SELECT r.order_id, r.fence
    FROM unnest((SELECT $1::int8[]), (SELECT $2::timestamp[])) AS r (order_id, fence)
),
found AS MATERIALIZED (
    SELECT o.id, r.fence
    FROM request r
    JOIN orders o ON o.id = r.order_id
    ORDER BY o.id
    FOR NO KEY UPDATE OF o SKIP LOCKED
),
renewed AS (
    UPDATE orders o
    SET updated_at = greatest(clock_timestamp()::timestamp, o.updated_at + interval '1 microsecond')
    FROM found f
    WHERE o.id = f.id
      AND CASE o.status WHEN 'processing' THEN o.updated_at = f.fence ELSE false END
    RETURNING o.id, o.updated_at
)
SELECT r.order_id   AS order_id,
       CASE
           WHEN f.id IS NOT NULL THEN 'found'
           WHEN (SELECT true FROM orders o WHERE o.id = r.order_id) THEN 'locked'
           ELSE 'missing'
       END          AS presence,
       n.updated_at AS fence
FROM request r
LEFT JOIN found f ON f.id = r.order_id
LEFT JOIN renewed n ON n.id = r.order_id
