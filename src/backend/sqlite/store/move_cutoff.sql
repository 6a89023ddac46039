-- Moves the cutoff to :wanted at :now, as the statement of the same name for Postgres does: back at once, forward by a day at most
-- and not again within an hour; the first time to a day after the oldest entry at most.
INSERT INTO fulfillment_retention (only_row, cutoff, moved_at)
SELECT 1, min(:wanted, coalesce(min(at) + 86400000000, :wanted)), :now
FROM (SELECT at FROM fulfillment_events ORDER BY order_id, at LIMIT 10000)
WHERE true
ON CONFLICT (only_row) DO UPDATE
SET cutoff = min(:wanted, cutoff + CASE WHEN moved_at < :now - 3540000000 THEN 86400000000 ELSE 0 END),
    moved_at = CASE WHEN moved_at BETWEEN :now - 3540000000 AND :now THEN moved_at ELSE :now END
RETURNING cutoff;
