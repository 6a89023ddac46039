-- Removes a message, if the receipt is the one that holds it: no row is changed otherwise.
DELETE FROM fulfillment_queue WHERE id = :id AND token = :token;
