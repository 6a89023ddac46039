-- A page of dead letters, in order of id.
SELECT id, order_id, payload, reason, detail, attempts FROM fulfillment_dead_letters
WHERE id > :after ORDER BY id LIMIT :limit;
