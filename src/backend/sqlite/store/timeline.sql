-- An order's transitions, oldest first.
SELECT at, state, attempt, worker, correlation_id, note FROM fulfillment_events WHERE order_id = ?1 ORDER BY at;
