-- Moves the cutoff to $1 seconds ago, and answers with it and with the seconds that it is behind that.
--
-- Guarantees: by the database's clock alone; back at once, but forward by a day at most, and not again within an hour, so that
-- a clock that is set to the wrong year costs some days and not every timeline before somebody looks. The first time it goes to
-- a day after the oldest entry at most, for the same reason. Which one that is the first 10,000 tell: orders are numbered in about
-- the order in which they come. Times of the timeline have no zone: 26 hours more are kept, as two zones differ by no more.
WITH asked AS MATERIALIZED (
    SELECT {now} - $1::float8 * interval '1 second' - interval '26 hours' AS wanted
),
oldest AS MATERIALIZED (
    SELECT min(f.at) AS at
    FROM (SELECT e.at FROM fulfillment.events e ORDER BY e.order_id, e.at LIMIT 10000) AS f
)
INSERT INTO fulfillment.retention AS r (cutoff, moved_at)
SELECT least(a.wanted, o.at + interval '1 day'), clock_timestamp()
FROM asked a
CROSS JOIN oldest o
ON CONFLICT (only_row) DO UPDATE
SET cutoff = least(
        (SELECT a.wanted FROM asked a),
        r.cutoff + CASE WHEN r.moved_at < clock_timestamp() - interval '59 minutes' THEN interval '1 day' ELSE interval '0' END
    ),
    moved_at = CASE
        WHEN r.moved_at BETWEEN clock_timestamp() - interval '59 minutes' AND clock_timestamp() THEN r.moved_at
        ELSE clock_timestamp()
    END
RETURNING cutoff AS cutoff,
          extract(epoch FROM (SELECT a.wanted FROM asked a) - cutoff)::float8 AS behind
