-- Marks dead letters, and moves no order.
--
-- $1 ids of letters, $2 resolution, $3 who, $4 why.
--
-- Guarantees: a letter that is resolved stays as it is, unless it was discarded and is now retried; locked in order of id.
-- Only letters that are marked by this are in the answer.
WITH letter AS MATERIALIZED (
    SELECT l.id
    FROM fulfillment.dead_letters l
    WHERE l.id = ANY ($1::int8[])
    ORDER BY l.id
    FOR UPDATE OF l
)
UPDATE fulfillment.dead_letters d
SET resolved_at = {now},
    resolution = $2::text,
    resolved_by = $3::text,
    resolved_reason = $4::text || CASE d.resolution
        WHEN 'discarded' THEN format(' (before: discarded by %s: %s)', d.resolved_by, d.resolved_reason)
        ELSE ''
    END
FROM letter l
WHERE d.id = l.id
  AND (d.resolved_at IS NULL OR (d.resolution = 'discarded' AND $2::text = 'retried'))
RETURNING d.id AS id
