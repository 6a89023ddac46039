-- Puts in a message for an order that has none, among the retries and due now, with its attempts that are spent. No row is
-- added for a key that is in the queue already.
INSERT OR IGNORE INTO fulfillment_queue (payload, pushed_at, attempts, due_at, adopted_as)
VALUES (:payload, :now, :attempts, :now, :key);
