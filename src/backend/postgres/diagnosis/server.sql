-- Who is asked and by whom, what that role may do beyond a worker's work, and what time it is there: one row.
--
-- $1 names `orders` in full. Reads the catalogue only, so that it answers for any role; changes nothing.
SELECT current_setting('server_version_num')::int4                  AS version,
       current_setting('server_version')                            AS version_name,
       extract(epoch FROM clock_timestamp())::float8                AS now,
       current_database()::text                                     AS database,
       extract(epoch FROM clock_timestamp() - pg_stat_get_db_stat_reset_time(d.oid))::float8 AS counted_for,
       current_user::text                                           AS role,
       r.rolinherit                                                 AS inherits,
       CASE WHEN r.rolsuper THEN ARRAY['is a superuser'] ELSE array_remove(ARRAY[
           CASE WHEN r.rolcreaterole THEN 'may create roles' END,
           CASE WHEN r.rolreplication THEN 'may replicate' END,
           CASE WHEN pg_has_role(c.relowner, 'USAGE') THEN 'owns orders' END,
           CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') AND has_table_privilege(c.oid, 'DELETE, TRUNCATE')
                THEN 'may delete orders' END,
           CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') AND EXISTS (
                    SELECT
                    FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid {=} c.oid AND a.attnum > 0 AND NOT a.attisdropped
                      AND a.attname {<>} 'status' AND a.attname {<>} 'updated_at'
                      AND has_column_privilege(c.oid, a.attnum, 'UPDATE')
                ) THEN 'may update other columns of orders than status and updated_at' END
       ], NULL) END                                                  AS excess,
       CASE
           WHEN r.rolconnlimit >= 0 AND d.datconnlimit >= 0 THEN least(r.rolconnlimit, d.datconnlimit)
           WHEN r.rolconnlimit >= 0 THEN r.rolconnlimit
           WHEN d.datconnlimit >= 0 THEN d.datconnlimit
       END                                                          AS connection_limit,
       host(inet_client_addr())                                     AS client,
       host(inet_server_addr())                                     AS server,
       coalesce(s.ssl, false)                                       AS ssl,
       s.version || ', ' || s.cipher                                AS cipher
FROM pg_catalog.pg_roles r
JOIN pg_catalog.pg_database d ON d.datname {=} current_database()
LEFT JOIN pg_catalog.pg_class c ON c.oid {=} to_regclass($1)::oid
LEFT JOIN pg_catalog.pg_stat_ssl s ON s.pid {=} pg_backend_pid()
WHERE r.rolname {=} current_user
