-- The queue. A message is
--   new       token null, due_at null
--   in flight token set, due_at = end of the lease
--   retrying  token null, due_at = time of the retry
-- and gone when it is acknowledged. `id` is the order of pushing and never given out twice, so that with `pushed_at`
-- it names a message beyond the life of this file.
CREATE TABLE fulfillment_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    payload BLOB NOT NULL,
    pushed_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    token TEXT,
    due_at INTEGER CHECK (due_at IS NOT NULL OR token IS NULL)
) STRICT;

-- A message is in exactly one of these, in the order in which it is claimed.
CREATE INDEX fulfillment_queue_new ON fulfillment_queue (id) WHERE due_at IS NULL;
CREATE INDEX fulfillment_queue_in_flight ON fulfillment_queue (due_at) WHERE token IS NOT NULL;
CREATE INDEX fulfillment_queue_retrying ON fulfillment_queue (due_at) WHERE token IS NULL AND due_at IS NOT NULL;
