-- Moves the cutoff to :wanted at :now, as the statement of the same name for Postgres does: back at once, forward by a day at most
-- and not again within an hour. The first time it goes where it is to be.
INSERT INTO fulfillment_retention (only_row, cutoff, moved_at) VALUES (1, :wanted, :now)
ON CONFLICT (only_row) DO UPDATE
SET cutoff = min(excluded.cutoff, cutoff + CASE WHEN moved_at < :now - 3540000000 THEN 86400000000 ELSE 0 END),
    moved_at = CASE WHEN moved_at BETWEEN :now - 3540000000 AND :now THEN moved_at ELSE :now END
RETURNING cutoff;
