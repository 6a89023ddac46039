-- Number of open orders by status, and when the oldest of each was created: null where none has a `created_at`, and infinity
-- is none. With each comes the database's clock, in the zone that `created_at` is written in.
--
-- Reads open orders alone, by the index on status: what is done is not looked at, however much it is. Changes nothing and
-- waits for nobody.
SELECT status::text                                           AS status,
       count(*)                                               AS orders,
       min(created_at) FILTER (WHERE isfinite(created_at))    AS oldest_created_at,
       clock_timestamp()::timestamp                           AS read_at
FROM orders
WHERE status IN ('pending', 'processing')
GROUP BY status
