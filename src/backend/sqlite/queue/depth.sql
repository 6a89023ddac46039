-- Counts each kind of message, from the indexes alone.
SELECT
    (SELECT count(*) FROM fulfillment_queue WHERE due_at IS NULL),
    (SELECT count(*) FROM fulfillment_queue WHERE token IS NOT NULL),
    (SELECT count(*) FROM fulfillment_queue WHERE token IS NULL AND due_at IS NOT NULL);
