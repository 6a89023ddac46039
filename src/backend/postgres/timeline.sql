-- The transitions of order $1, oldest first.
SELECT at, state, attempt, worker, correlation_id, note
FROM fulfillment.events
WHERE order_id = $1::int8
ORDER BY at
