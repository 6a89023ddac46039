-- Payloads of messages that are leased or wait for their retry, behind :cursor, in order of id, which a message keeps.
SELECT id, payload FROM fulfillment_queue WHERE due_at IS NOT NULL AND id > :cursor ORDER BY id LIMIT 500;
