-- Connections to the server, and those of workers to this database but for this command's: one row.
--
-- Reads statistics only, so that it answers for any role; changes nothing.
SELECT (SELECT sum(d.numbackends) FROM pg_catalog.pg_stat_database d)::int8 AS used,
       count(*)                                                           AS of_workers,
       count(DISTINCT a.application_name)                                 AS workers
FROM pg_catalog.pg_stat_activity a
WHERE a.datname {=} current_database()
  AND a.application_name {like} 'fulfillment-worker %'
  AND a.application_name {<>} current_setting('application_name')
