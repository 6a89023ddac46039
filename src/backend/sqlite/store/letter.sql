-- A dead letter, and what its order's row says, for the decision on a retry.
SELECT l.order_id, l.payload, l.reason, l.resolution, orders.id IS NOT NULL, orders.status
FROM fulfillment_dead_letters AS l LEFT JOIN orders ON orders.id = l.order_id
WHERE l.id = ?1;
