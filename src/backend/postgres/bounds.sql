-- Ids between which the orders lie that were created at most $1 and at least $2 seconds ago; either may be null.
--
-- Halves the range of all ids, as they grow with `created_at`, and takes ten minutes more on either side for orders that don't:
-- at most 64 steps, each by the primary key. Orders without a `created_at` are stepped over, up to a hundred in a row.
WITH RECURSIVE wanted AS MATERIALIZED (
    SELECT 'above'::text AS bound, clock_timestamp() - ($1::float8 + 600::float8) * interval '1 second' AS at
    WHERE $1::float8 IS NOT NULL
    UNION ALL
    SELECT 'below', clock_timestamp() - ($2::float8 - 600::float8) * interval '1 second'
    WHERE $2::float8 IS NOT NULL
),
halves AS (
    SELECT w.bound, w.at, '-9223372036854775808'::int8 AS earlier, 9223372036854775807::int8 AS later
    FROM wanted w
    UNION ALL
    SELECT h.bound,
           h.at,
           CASE WHEN p.is_earlier THEN p.id ELSE h.earlier END,
           CASE WHEN p.is_earlier THEN h.later ELSE h.middle END
    FROM (
        SELECT w.*, w.earlier / 2 + w.later / 2 + (mod(w.earlier, 2) + mod(w.later, 2)) / 2 AS middle
        FROM halves w
        WHERE w.earlier < w.later - 1
    ) AS h
    LEFT JOIN LATERAL (
        SELECT near.id, near.created_at {<} h.at::{created} AS is_earlier
        FROM (
            SELECT o.id::int8 AS id, o.created_at
            FROM {orders} o
            WHERE o.id {>=} h.middle
            ORDER BY o.id
            LIMIT 100
        ) AS near
        WHERE isfinite(near.created_at)
        ORDER BY near.id
        LIMIT 1
    ) AS p ON true
)
SELECT max(h.earlier) FILTER (WHERE h.bound = 'above') AS above,
       min(h.later) FILTER (WHERE h.bound = 'below')   AS below
FROM halves h
