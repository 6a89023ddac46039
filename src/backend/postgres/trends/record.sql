-- Writes rows of worker $1: numbers $2, minutes ago $3, seconds $4 and counts $5. Says of the last one whether its minute is the
-- current one, and how many seconds that lasts.
--
-- Guarantees: may be repeated, and come late: a row keeps the minute of its first writing, and never goes back to fewer seconds than
-- were written. Minutes are by the database's clock, in UTC.
WITH clock AS MATERIALIZED (
    SELECT n.at, date_trunc('minute', n.at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS minute
    FROM (SELECT clock_timestamp() AS at) AS n
),
written AS (
    INSERT INTO fulfillment.trends AS t (worker, seq, minute, seconds, counts)
    SELECT $1::text, r.seq, c.minute - r.ago * interval '1 minute', r.seconds, r.counts::json
    FROM unnest($2::int8[], $3::float8[], $4::float8[], $5::text[]) AS r (seq, ago, seconds, counts)
    CROSS JOIN clock c
    ORDER BY r.seq
    ON CONFLICT (worker, seq) DO UPDATE
    SET seconds = greatest(t.seconds, excluded.seconds),
        counts = CASE WHEN excluded.seconds < t.seconds THEN t.counts ELSE excluded.counts END
    RETURNING t.seq, t.minute
)
SELECT w.minute = c.minute                                                             AS is_current,
       extract(epoch FROM c.minute + interval '1 minute' - clock_timestamp())::float8  AS seconds_left
FROM written w
CROSS JOIN clock c
ORDER BY w.seq DESC
LIMIT 1
