-- The indexes of `orders`, $1 its name in full, and of its partitions, that hold a column which every transition writes: as a
-- key, beside the keys, in an expression or in a condition. A row for each, a hundred at most.
--
-- Reads statistics and the catalogue only, so that it answers for any role; changes nothing.
WITH {wanted},
indexes AS MATERIALIZED (
    SELECT i.indexrelid AS oid,
           i.indrelid AS table_oid,
           ARRAY(
               SELECT a.attname::text
               FROM pg_catalog.pg_attribute a
               WHERE a.attrelid {=} i.indrelid
                 AND (a.attname {=} 'status' OR a.attname {=} 'updated_at')
                 AND (a.attnum {=} ANY (i.indkey::int2[]) OR EXISTS (
                     SELECT
                     FROM pg_catalog.pg_depend d
                     WHERE d.classid {=} 'pg_catalog.pg_class'::regclass AND d.objid {=} i.indexrelid
                       AND d.refobjid {=} i.indrelid AND d.refobjsubid {=} a.attnum
                 ))
               ORDER BY a.attnum
           ) AS columns
    FROM wanted w
    JOIN pg_catalog.pg_index i ON i.indrelid {=} w.oid
)
SELECT format('%I.%I', n.nspname, c.relname)                                                         AS name,
       (
           SELECT format('%I.%I', whole_schema.nspname, whole.relname)
           FROM pg_catalog.pg_inherits h
           JOIN pg_catalog.pg_class whole ON whole.oid {=} h.inhparent
           JOIN pg_catalog.pg_namespace whole_schema ON whole_schema.oid {=} whole.relnamespace
           WHERE h.inhrelid {=} c.oid
       )                                                                                             AS part_of,
       m.amname::text                                                                                AS method,
       i.columns                                                                                     AS columns,
       (SELECT k.conname::text FROM pg_catalog.pg_constraint k WHERE k.conindid {=} c.oid ORDER BY k.contype DESC LIMIT 1) AS constraint_name,
       coalesce(pg_stat_get_numscans(c.oid), 0)                                                       AS scans,
       {last_scan}                                                                                   AS last_scan,
       coalesce(pg_relation_size(c.oid), 0)                                                           AS bytes
FROM indexes i
JOIN pg_catalog.pg_class c ON c.oid {=} i.oid
JOIN pg_catalog.pg_namespace n ON n.oid {=} c.relnamespace
JOIN pg_catalog.pg_am m ON m.oid {=} c.relam
WHERE i.columns {<>} ARRAY[]::text[] AND c.relkind {=} 'i'
ORDER BY c.relname
LIMIT 100
