-- Counts each kind of message, from the indexes alone; ?1 is now.
SELECT
    (SELECT count(*) FROM fulfillment_queue WHERE due_at IS NULL),
    (SELECT count(*) FROM fulfillment_queue WHERE token IS NOT NULL),
    (SELECT count(*) FROM fulfillment_queue WHERE token IS NULL AND due_at IS NOT NULL AND due_at <= ?1),
    (SELECT count(*) FROM fulfillment_queue WHERE token IS NULL AND due_at IS NOT NULL AND due_at > ?1);
