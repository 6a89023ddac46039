-- When the next message may be claimed: 0 if there is a new one, else the next lease or retry, null if nothing is
-- scheduled.
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM fulfillment_queue WHERE due_at IS NULL) THEN 0
    ELSE (
        SELECT min(due_at) FROM (
            SELECT min(due_at) AS due_at FROM fulfillment_queue WHERE token IS NOT NULL
            UNION ALL
            SELECT min(due_at) FROM fulfillment_queue WHERE token IS NULL AND due_at IS NOT NULL
        )
    )
END;
