-- Counts orders that were placed, at most $1 of them, unless somebody has within $2 seconds, by the minute of their `created_at`, or where it
-- is null, of the count.
--
-- What is counted are the orders from the mark up to the id that was the highest at the call before: once every transaction has
-- ended that was under way then, as it may commit lower ids late; after $3 seconds at the latest. $4 is how far back minutes
-- go, in seconds. The first call sets the mark, and so does one that finds the highest id below it.
--
-- Guarantees: one statement, decided on the mark's row, which is locked, and read again if another worker moved it meanwhile; that
-- one's transactions have all ended for this snapshot, or it is too young. Nobody waits for a lock. Reads new orders alone, by
-- the primary key.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
mark AS MATERIALIZED (
    SELECT m.counted_to, m.counted_at, m.seen, m.seen_at
    FROM fulfillment.arrivals_mark m
    CROSS JOIN clock c
    WHERE (m.seen_at < c.now - $2::float8 * interval '1 second' OR m.seen_at > c.now)
      AND (m.seen_xid IS NULL
           OR m.seen_xid <= txid_snapshot_xmin(txid_current_snapshot())
           OR m.seen_at NOT BETWEEN c.now - $3::float8 * interval '1 second' AND c.now)
    FOR UPDATE OF m SKIP LOCKED
),
newest AS MATERIALIZED (
    SELECT coalesce((SELECT o.id::int8 FROM {orders} o ORDER BY o.id DESC LIMIT 1), '-9223372036854775808'::int8) AS id,
           txid_snapshot_xmax(txid_current_snapshot())                                                            AS xid
    FROM mark
),
batch AS MATERIALIZED (
    SELECT o.id::int8 AS id, o.created_at::timestamptz AS at
    FROM {orders} o
    WHERE o.id {>} (SELECT m.counted_to FROM mark m JOIN newest n ON n.id >= m.counted_to)
      AND o.id {<=} (SELECT m.seen FROM mark m)
    ORDER BY o.id
    LIMIT $1::int8
),
tally AS MATERIALIZED (
    SELECT date_trunc('minute', least(greatest(coalesce(b.at, m.seen_at), m.counted_at, m.seen_at - $4::float8 * interval '1 second'), m.seen_at)
                                AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS minute,
           count(*)                                                    AS orders
    FROM batch b
    CROSS JOIN mark m
    GROUP BY 1
),
added AS (
    INSERT INTO fulfillment.arrivals AS a (minute, orders)
    SELECT t.minute, t.orders FROM tally t ORDER BY t.minute
    ON CONFLICT (minute) DO UPDATE SET orders = a.orders + excluded.orders
),
step AS MATERIALIZED (
    SELECT m.counted_to IS NULL OR n.id < m.counted_to            AS begins,
           (SELECT count(*) FROM batch) >= $1::int8               AS is_cut,
           (SELECT max(b.id) FROM batch b)                        AS last,
           n.id, n.xid, m.counted_at, m.seen, m.seen_at, c.now
    FROM mark m
    CROSS JOIN newest n
    CROSS JOIN clock c
),
moved AS (
    UPDATE fulfillment.arrivals_mark w
    SET counted_to = CASE WHEN s.begins THEN s.id WHEN s.is_cut THEN s.last ELSE s.seen END,
        counted_at = CASE WHEN s.begins THEN s.now WHEN s.is_cut THEN s.counted_at ELSE s.seen_at END,
        seen = s.id,
        seen_at = s.now,
        seen_xid = s.xid
    FROM step s
)
SELECT count(*)::int8 AS orders FROM batch
