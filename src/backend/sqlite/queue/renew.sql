-- Extends a lease, if the receipt is the one that holds the message: no row is changed otherwise.
UPDATE fulfillment_queue SET due_at = :due_at WHERE id = :id AND token = :token;
