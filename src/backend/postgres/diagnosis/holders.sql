-- What keeps dead rows of this database from being removed: sessions with a transaction, those of replicas among them,
-- replication slots, and prepared transactions; a row for each, the oldest first, twenty at most.
--
-- Reads statistics only, so that it answers for any role: state and time of others' sessions are null for one that may not see
-- them. Changes nothing.
SELECT *
FROM (
    SELECT 'session'                                                                   AS kind,
           a.pid::text                                                                 AS name,
           a.usename::text                                                             AS role,
           a.application_name                                                          AS application,
           a.state                                                                     AS state,
           extract(epoch FROM clock_timestamp() - a.xact_start)::float8                AS since,
           greatest(age(a.backend_xmin), age(a.backend_xid))::int8                     AS behind,
           NULL::float8                                                                AS wal_bytes
    FROM pg_catalog.pg_stat_activity a
    WHERE (a.datname {=} current_database() OR a.datname IS NULL) AND a.pid {<>} pg_backend_pid()
      AND coalesce(a.backend_type, '') {<>} 'autovacuum worker'
      AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL OR a.state {like} 'idle in transaction%')
    UNION ALL
    SELECT 'slot', s.slot_name::text, NULL, NULL, CASE WHEN s.active THEN 'active' ELSE 'inactive' END, NULL,
           greatest(age(s.xmin), age(s.catalog_xmin))::int8,
           pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::float8
    FROM pg_catalog.pg_replication_slots s
    UNION ALL
    SELECT 'prepared', p.gid, p.owner::text, NULL, 'prepared',
           extract(epoch FROM clock_timestamp() - p.prepared)::float8, age(p.transaction)::int8, NULL
    FROM pg_catalog.pg_prepared_xacts p
    WHERE p.database {=} current_database()
) AS held
ORDER BY held.since DESC NULLS LAST, held.behind DESC NULLS LAST
LIMIT 20
