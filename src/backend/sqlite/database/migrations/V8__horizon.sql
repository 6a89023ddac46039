-- From when on orders that lost their message are taken in: one row, written at the first start. An order is older than
-- the horizon if it was created before `adopt_from` and its id is at most `last_order_id`; null: none is.
CREATE TABLE fulfillment_horizon (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    adopt_from INTEGER NOT NULL,
    last_order_id INTEGER,
    noted_at INTEGER NOT NULL
) STRICT;

-- Orders up to `last_order_id` that were begun here, and so are looked after whatever their age.
CREATE TABLE fulfillment_begun_orders (
    order_id INTEGER PRIMARY KEY
) STRICT;

-- A file that was there before goes on as it did.
INSERT INTO fulfillment_horizon (adopt_from, noted_at)
SELECT -9223372036854775808, CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE EXISTS (SELECT 1 FROM orders)
   OR EXISTS (SELECT 1 FROM fulfillment_queue)
   OR EXISTS (SELECT 1 FROM fulfillment_leadership)
   OR EXISTS (SELECT 1 FROM fulfillment_events)
   OR EXISTS (SELECT 1 FROM fulfillment_dead_letters);
