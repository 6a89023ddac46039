-- Keeps a transition in the timeline, in the transaction that makes it.
INSERT INTO fulfillment_events (order_id, at, state, attempt, worker, correlation_id, note)
VALUES (:order_id, :at, :state, :attempt, :worker, :correlation_id, :note);
