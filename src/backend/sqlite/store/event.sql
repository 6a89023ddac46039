-- Keeps a transition in the timeline, in the transaction that makes it. A table of orders that was made anew may bring
-- a key again; the entry that is there stays then, and the order goes on.
INSERT INTO fulfillment_events (order_id, at, state, attempt, worker, correlation_id, note)
VALUES (:order_id, :at, :state, :attempt, :worker, :correlation_id, :note)
ON CONFLICT DO NOTHING;
