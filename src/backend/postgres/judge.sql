-- How the open orders among $1 stand to a horizon: $2 from when on (null: from ever), $3 the greatest id that may be older;
-- $4 the greatest age, in seconds. Ages are null where a row has no time, or one that is yet to come.
--
-- CASE, as in begin.sql, keeps the planner from the index on status, whose statistics are stale in a busy queue.
SELECT o.id::int8      AS order_id,
       o.status::text  AS status,
       CASE WHEN isfinite(t.created) AND t.created <= t.now THEN extract(epoch FROM t.now - t.created)::float8 END AS age,
       CASE WHEN isfinite(t.touched) AND t.touched <= t.now THEN extract(epoch FROM t.now - t.touched)::float8 END AS untouched,
       coalesce(
           o.id {<=} $3::int8 AND ((t.created < $2::timestamptz) IS NOT FALSE OR t.created > t.now + interval '1 day'), false
       )
           AND NOT EXISTS (SELECT FROM fulfillment.begun_orders b WHERE b.order_id {=} o.id) AS before_horizon,
       coalesce(t.touched < t.now - $4::float8 * interval '1 second', false)               AS too_old
FROM {orders} o
CROSS JOIN LATERAL (
    SELECT coalesce(o.created_at, o.updated_at)::timestamptz AS created,
           coalesce(o.updated_at, o.created_at)::timestamptz AS touched,
           statement_timestamp()                             AS now
) AS t
WHERE o.id {=} ANY ($1::int8[])
  AND CASE WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN true ELSE false END
ORDER BY o.id
