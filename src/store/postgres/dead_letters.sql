-- Dead letters with an id above $1, in order of id, at most $2.
SELECT id, order_id, payload, reason, detail, attempts
FROM fulfillment.dead_letters
WHERE id > $1::int8
ORDER BY id
LIMIT $2::int8
