-- Where the WAL ends, and how many updates of `orders`, $1 its name in full, the server has counted: one row.
--
-- Reads statistics only, so that it answers for any role; changes nothing. Sessions report at the end of a transaction, and at
-- most once a second.
WITH {wanted}
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8        AS wal_bytes,
       coalesce(sum(pg_stat_get_tuples_updated(w.oid)), 0)::int8          AS updates,
       coalesce(sum(pg_stat_get_tuples_hot_updated(w.oid)), 0)::int8      AS hot_updates
FROM wanted w
