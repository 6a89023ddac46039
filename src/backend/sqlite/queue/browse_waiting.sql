-- Payloads of messages that nobody has claimed yet, behind :cursor, in order of id. New ones come behind all others.
SELECT id, payload FROM fulfillment_queue WHERE due_at IS NULL AND id > :cursor ORDER BY id LIMIT 500;
