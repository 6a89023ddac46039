-- What makes schema `fulfillment` somebody else's as well, a problem each, in order of name; no row where all is well.
-- $1 whether this role is about to make or alter tables; if it may not, Postgres says so.
--
-- An object may belong to a superuser, to the owner of the database, to this role or one that it is a member of. For a role that
-- only works, also to the owner of the schema, or to whoever keeps the history, if that role may create in the schema by name:
-- PUBLIC may not. A superuser is a member of every role, which counts for nothing here. Whoever owns a table, or may put a trigger on it, has code of his own run with this role's
-- rights.
--
-- Reads the catalogue only, so that it answers for any role, and finds nothing by the search path.
WITH own AS MATERIALIZED (
    SELECT n.oid, n.nspowner, $1::bool AND has_schema_privilege(n.oid, 'CREATE') AS makes
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname {=} 'fulfillment'
),
relations AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relkind, c.relowner, c.relrowsecurity, format('fulfillment.%I', c.relname) AS name,
           c.relname {=} ANY (ARRAY['events', 'dead_letters', 'leadership', 'clocks', 'observed_fences', 'submissions', 'horizon',
                                    'begun_orders', 'retention', 'low_water_mark', 'stragglers', 'controls',
                                    'workers', 'activity', 'holds', 'jobs', 'requests', 'trends',
                                    'arrivals', 'arrivals_mark', 'schema_history']) AS is_ours
    FROM own
    JOIN pg_catalog.pg_class c ON c.relnamespace {=} own.oid
    WHERE c.relkind {=} ANY (ARRAY['r', 'p', 'v', 'm', 'f', 'S']::pg_catalog."char"[])
      -- Not the one that counts a column: its owner is that of the table.
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend d
          WHERE c.relkind {=} 'S' AND d.objid {=} c.oid AND d.deptype {=} ANY (ARRAY['a', 'i']::pg_catalog."char"[])
      )
),
trusted AS MATERIALIZED (
    SELECT r.oid
    FROM pg_catalog.pg_roles r
    CROSS JOIN own
    WHERE r.rolsuper
       OR (r.oid {=} own.nspowner AND NOT own.makes)
       OR r.oid {=} (SELECT d.datdba FROM pg_catalog.pg_database d WHERE d.datname {=} current_database())
       OR r.rolname {=} current_user
       OR (
           pg_has_role(r.oid, 'USAGE')
           AND NOT (SELECT me.rolsuper FROM pg_catalog.pg_roles me WHERE me.rolname {=} current_user)
       )
       OR (
           r.oid {=} (SELECT h.relowner FROM relations h WHERE h.relname {=} 'schema_history')
           AND has_schema_privilege(r.oid, own.oid, 'CREATE')
           AND NOT own.makes
       )
)
SELECT ''::text AS name,
       'every role may create objects in schema fulfillment; `REVOKE CREATE ON SCHEMA fulfillment FROM PUBLIC`' AS problem
FROM own
WHERE has_schema_privilege('public', own.oid, 'CREATE')
UNION ALL
SELECT c.name,
       format(
           '%s belongs to role %I; %s look at what it holds, and drop it or `ALTER TABLE %s OWNER TO %I`',
           c.name, pg_get_userbyid(c.relowner), CASE WHEN own.makes THEN 'migrate as that role, or' ELSE 'have an administrator' END,
           c.name, CASE WHEN own.makes THEN current_user ELSE pg_get_userbyid(own.nspowner) END
       )
FROM relations c
CROSS JOIN own
WHERE NOT EXISTS (SELECT FROM trusted r WHERE r.oid {=} c.relowner)
UNION ALL
SELECT c.name, format('%s is no table; drop it, and run `fulfillment-worker migrate`', c.name)
FROM relations c
WHERE c.is_ours AND NOT c.relkind {=} ANY (ARRAY['r', 'p']::pg_catalog."char"[])
UNION ALL
SELECT c.name, format('%s has the trigger %I; `DROP TRIGGER %I ON %s`', c.name, t.tgname, t.tgname, c.name)
FROM relations c
JOIN pg_catalog.pg_trigger t ON t.tgrelid {=} c.oid AND NOT t.tgisinternal
WHERE c.is_ours
UNION ALL
SELECT c.name, format('%s has the rule %I; `DROP RULE %I ON %s`', c.name, r.rulename, r.rulename, c.name)
FROM relations c
JOIN pg_catalog.pg_rewrite r ON r.ev_class {=} c.oid
WHERE c.is_ours AND c.relkind {=} ANY (ARRAY['r', 'p']::pg_catalog."char"[])
UNION ALL
SELECT c.name, format('%s has row-level security; `ALTER TABLE %s DISABLE ROW LEVEL SECURITY`', c.name, c.name)
FROM relations c
WHERE c.is_ours AND c.relrowsecurity
UNION ALL
SELECT c.name, format('%s inherits from another table, or another one from it; `ALTER TABLE ... NO INHERIT ...`', c.name)
FROM relations c
WHERE c.is_ours
  AND c.relkind {=} 'r'
  AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid {=} c.oid OR i.inhparent {=} c.oid)
ORDER BY name, problem
