-- Puts a new message in, behind all that are there.
INSERT INTO fulfillment_queue (payload, pushed_at) VALUES (:payload, :pushed_at);
