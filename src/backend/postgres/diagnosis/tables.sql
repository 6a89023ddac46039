-- What the server has counted of `orders`, $1 its name in full, of its partitions where it has some, and of the worker's own
-- tables: a row for each, a thousand at most.
--
-- Reads statistics and the catalogue only, never a row of theirs, so that it answers for any role; changes nothing.
WITH orders AS MATERIALIZED (
    SELECT to_regclass($1)::oid AS oid
),
wanted AS MATERIALIZED (
    SELECT o.oid, true AS is_orders FROM orders o
    UNION
    SELECT p.relid::oid, true FROM orders o CROSS JOIN LATERAL pg_partition_tree(o.oid) AS p WHERE p.isleaf
    UNION
    SELECT c.oid, false
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid {=} c.relnamespace
    WHERE n.nspname {=} 'fulfillment'
)
SELECT format('%I.%I', n.nspname, c.relname)                                                        AS name,
       w.is_orders                                                                                  AS is_orders,
       coalesce(c.reloptions, ARRAY[]::text[])                                                       AS options,
       coalesce(pg_stat_get_live_tuples(c.oid), 0)                                                   AS live,
       coalesce(pg_stat_get_dead_tuples(c.oid), 0)                                                   AS dead,
       coalesce(pg_stat_get_tuples_updated(c.oid), 0)                                                AS updates,
       coalesce(pg_stat_get_tuples_hot_updated(c.oid), 0)                                            AS hot_updates,
       extract(epoch FROM clock_timestamp() - greatest(
           pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)
       ))::float8                                                                                   AS vacuumed,
       coalesce(pg_relation_size(c.oid), 0)                                                          AS bytes
FROM wanted w
JOIN pg_catalog.pg_class c ON c.oid {=} w.oid
JOIN pg_catalog.pg_namespace n ON n.oid {=} c.relnamespace
WHERE c.relkind {=} 'r'
ORDER BY w.is_orders DESC, c.relname
LIMIT 1000
