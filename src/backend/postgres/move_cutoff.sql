-- Moves the cutoff to $1 seconds ago, and answers with it and with the seconds that it is behind that.
--
-- Guarantees: by the database's clock alone; back at once, but forward by a day at most, and not again within an hour, so that
-- a clock that is set to the wrong year costs some days and not every timeline before somebody looks. The first time it goes
-- where it is to be. Times of the timeline have no zone: 26 hours more are kept, as two zones differ by no more.
INSERT INTO fulfillment.retention AS r (cutoff, moved_at)
VALUES ({now} - $1::float8 * interval '1 second' - interval '26 hours', clock_timestamp())
ON CONFLICT (only_row) DO UPDATE
SET cutoff = least(
        excluded.cutoff,
        r.cutoff + CASE WHEN r.moved_at < clock_timestamp() - interval '59 minutes' THEN interval '1 day' ELSE interval '0' END
    ),
    moved_at = CASE
        WHEN r.moved_at BETWEEN clock_timestamp() - interval '59 minutes' AND clock_timestamp() THEN r.moved_at
        ELSE clock_timestamp()
    END
RETURNING cutoff AS cutoff,
          extract(epoch FROM {now} - $1::float8 * interval '1 second' - interval '26 hours' - cutoff)::float8 AS behind
