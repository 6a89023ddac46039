-- Gives a message back until its time comes, if the receipt is the one that holds it: no row is changed otherwise.
-- :taken_back is 1 if the attempt that the claim counted is not to count.
UPDATE fulfillment_queue SET token = NULL, due_at = :due_at, attempts = max(attempts - :taken_back, 0)
WHERE id = :id AND token = :token;
