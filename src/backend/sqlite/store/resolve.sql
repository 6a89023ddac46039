-- Marks a dead letter. One that is resolved stays as it is, unless it was discarded and is now retried.
UPDATE fulfillment_dead_letters
SET resolved_at = :at,
    resolution = :resolution,
    resolved_by = :by,
    resolved_reason = :reason || CASE resolution
        WHEN 'discarded' THEN ' (before: discarded by ' || resolved_by || ': ' || resolved_reason || ')'
        ELSE ''
    END
WHERE id = :id AND (resolved_at IS NULL OR (resolution = 'discarded' AND :resolution = 'retried'));
