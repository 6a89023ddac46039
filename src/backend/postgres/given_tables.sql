-- What the order API's tables are, a row for each column that the worker uses, in order; nulls where something isn't there.
--
-- $1 and $2 the names under which `orders` and `products` were found before, in full; null at first. Then they are found by the
-- search path, temporary ones left out.
--
-- Reads the catalogue only, so that it answers for any role; and itself finds nothing by the search path, whose order it judges.
-- Finds tables in the catalogue as its snapshot has it: `to_regclass` reads another one, and between the two a table that is
-- being renamed would have its old name for the one and its new name for the other.
WITH wanted (place, relation, name) AS (
    VALUES
        (1, 'orders', 'id'), (2, 'orders', 'product_id'), (3, 'orders', 'quantity'), (4, 'orders', 'status'),
        (5, 'orders', 'created_at'), (6, 'orders', 'updated_at'), (7, 'products', 'id'), (8, 'products', 'name')
),
named AS MATERIALIZED (
    SELECT r.relation, path.place, c.oid, c.relowner, format('%I.%I', n.nspname, c.relname) AS name
    FROM (VALUES ('orders'), ('products')) AS r (relation)
    CROSS JOIN pg_catalog.unnest(current_schemas(false)) WITH ORDINALITY AS path (schema, place)
    JOIN pg_catalog.pg_namespace n ON n.nspname {=} path.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace {=} n.oid AND c.relname {=} r.relation
    WHERE c.relpersistence {<>} 't'
),
tables AS MATERIALIZED (
    SELECT r.relation, c.oid, c.relkind, c.relname, c.relnamespace,
           (
               SELECT other.name
               FROM named other
               WHERE r.known IS NULL AND other.relation {=} r.relation AND other.relowner {<>} c.relowner
               ORDER BY other.place
               LIMIT 1
           ) AS rival
    FROM (VALUES ('orders', $1::text), ('products', $2::text)) AS r (relation, known)
    LEFT JOIN pg_catalog.pg_class c ON c.oid {=} coalesce(
        (
            SELECT k.oid
            FROM pg_catalog.pg_namespace n
            JOIN pg_catalog.pg_class k ON k.relnamespace {=} n.oid
            WHERE n.nspname {=} (parse_ident(r.known))[1] AND k.relname {=} (parse_ident(r.known))[2]
        ),
        (SELECT n.oid FROM named n WHERE n.relation {=} r.relation ORDER BY n.place LIMIT 1)
    )
)
SELECT w.relation                                                                   AS relation,
       w.name                                                                       AS name,
       t.relkind::text                                                              AS kind,
       (pg_relation_is_updatable(t.oid, false) OPERATOR(pg_catalog.&) 4) {<>} 0       AS updatable,
       row_security_active(t.oid)                                                   AS secured,
       (
           SELECT count(DISTINCT d.command)
           FROM pg_catalog.pg_policy p
           JOIN (VALUES ('r'), ('w')) AS d (command) ON p.polcmd::text {=} ANY (ARRAY[d.command, '*'])
           WHERE p.polrelid {=} t.oid
             AND p.polpermissive
             AND (0 {=} ANY (p.polroles) OR EXISTS (
                 SELECT FROM pg_catalog.unnest(p.polroles) AS r (role) WHERE r.role {<>} 0 AND pg_has_role(r.role, 'USAGE')
             ))
       )                                                                            AS policies,
       EXISTS (
           SELECT
           FROM pg_catalog.pg_inherits i
           JOIN pg_catalog.pg_class part ON part.oid {=} i.inhrelid
           WHERE i.inhparent {=} t.oid AND part.relkind {=} 'f'
       )                                                                            AS has_foreign_part,
       a.attnum IS NOT NULL                                                         AS there,
       format_type(a.atttypid, a.atttypmod)                                         AS shown,
       CASE WHEN own.oid IS NOT NULL THEN format('%I.%I', own_schema.nspname, own.typname) END AS type_name,
       base.typname::text                                                           AS base_type,
       base.typtype::text                                                           AS base_kind,
       CASE WHEN own.typtype {=} 'd' THEN own.typtypmod ELSE a.atttypmod END          AS modifier,
       a.attgenerated {<>} '' OR a.attidentity {=} 'a'                                  AS generated,
       ARRAY(
           SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid {=} base.oid ORDER BY e.enumsortorder
       )                                                                            AS labels,
       ARRAY(
           SELECT pg_get_expr(k.conbin, k.conrelid)
           FROM pg_catalog.pg_constraint k
           WHERE k.conrelid {=} t.oid AND k.contype {=} 'c' AND k.conkey {=} ARRAY[a.attnum]
           ORDER BY k.conname
       )                                                                            AS conditions,
       a.attnum {=} ANY (part.partattrs::int2[]) AND part.partdefid {=} 0               AS divides,
       CASE WHEN part.partnatts {=} 1 AND part.partdefid {=} 0 THEN ARRAY(
           SELECT pg_get_partition_constraintdef(i.inhrelid) FROM pg_catalog.pg_inherits i WHERE i.inhparent {=} t.oid
       ) END                                                                        AS parts,
       -- Whether open orders are found by an index: on the column, or on them alone. Of a view, in a table that it reads.
       w.name {=} 'status' AND EXISTS (
           SELECT
           FROM (
               SELECT t.oid
               UNION ALL
               SELECT d.refobjid
               FROM pg_catalog.pg_rewrite r
               JOIN pg_catalog.pg_depend d ON d.classid {=} 'pg_catalog.pg_rewrite'::regclass::oid AND d.objid {=} r.oid
               WHERE r.ev_class {=} t.oid AND d.refclassid {=} 'pg_catalog.pg_class'::regclass::oid
           ) AS read (oid)
           JOIN pg_catalog.pg_index i ON i.indrelid {=} read.oid AND i.indisvalid
           JOIN pg_catalog.pg_class c ON c.oid {=} i.indexrelid
           JOIN pg_catalog.pg_am m ON m.oid {=} c.relam AND m.amname {=} ANY (ARRAY['btree', 'hash']::name[])
           LEFT JOIN pg_catalog.pg_attribute k ON k.attrelid {=} i.indrelid AND k.attnum {=} i.indkey[0]
           CROSS JOIN LATERAL (SELECT pg_get_expr(i.indpred, i.indrelid) AS condition) AS p
           WHERE CASE
                     WHEN p.condition IS NULL THEN k.attname {=} w.name
                     WHEN p.condition {like} '%pending%' THEN p.condition {like} '%processing%'
                     ELSE p.condition {like} '%status%<>%' AND NOT p.condition {like} '%processing%'
                 END
       )                                                                            AS finds_open,
       array_to_string(current_schemas(false), ', ')                                AS search_path,
       (
           SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname)
           FROM pg_catalog.pg_class c
           JOIN pg_catalog.pg_namespace n ON n.oid {=} c.relnamespace
           WHERE c.relname {=} w.relation AND c.relkind {=} ANY (ARRAY['r', 'p', 'v']::pg_catalog."char"[]) AND NOT n.nspname {like} 'pg\_%'
       )                                                                            AS elsewhere,
       coalesce((
           SELECT path.schema {=} 'pg_catalog'
           FROM pg_catalog.unnest(current_schemas(true)) WITH ORDINALITY AS path (schema, place)
           WHERE NOT path.schema {like} 'pg\_temp\_%'
           ORDER BY path.place
           LIMIT 1
       ), true)                                                                     AS own_names_first,
       CASE WHEN t.oid IS NOT NULL THEN format('%I.%I', place.nspname, t.relname) END AS qualified,
       t.rival                                                                      AS rival,
       current_database()::text                                                     AS database,
       current_user::text                                                           AS role,
       current_setting('server_encoding')                                           AS encoding
FROM wanted w
LEFT JOIN tables t ON t.relation {=} w.relation
LEFT JOIN pg_catalog.pg_namespace place ON place.oid {=} t.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid {=} t.oid AND a.attname {=} w.name AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type own ON own.oid {=} a.atttypid
LEFT JOIN pg_catalog.pg_namespace own_schema ON own_schema.oid {=} own.typnamespace
LEFT JOIN pg_catalog.pg_type base ON base.oid {=} CASE WHEN own.typtype {=} 'd' THEN own.typbasetype ELSE own.oid END
LEFT JOIN pg_catalog.pg_partitioned_table part ON part.partrelid {=} t.oid
ORDER BY w.place
