-- Takes a message that claim.sql found in the same transaction, and counts the attempt. A token that somebody else
-- holds is replaced, which makes that receipt stale.
UPDATE fulfillment_queue SET token = :token, due_at = :due_at, attempts = attempts + 1 WHERE id = :id;
