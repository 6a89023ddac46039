-- From when on orders that lost their message are taken in, and which older ones were begun all the same.
-- Every statement may be run again.

-- One row, written at the first start. An order is older than the horizon if it was created before `adopt_from` and its id
-- is at most `last_order_id`, the greatest one then: so a producer whose clock or zone is off makes no new order look old.
-- A null `last_order_id` makes none older.
CREATE TABLE IF NOT EXISTS fulfillment.horizon (
    only_row      boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    adopt_from    timestamptz NOT NULL,
    last_order_id bigint,
    noted_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Orders up to `last_order_id` that were begun here, and so are looked after whatever their age.
CREATE TABLE IF NOT EXISTS fulfillment.begun_orders (
    order_id bigint PRIMARY KEY
);

-- An installation that has worked before goes on as it did.
INSERT INTO fulfillment.horizon (adopt_from)
SELECT '-infinity'
WHERE EXISTS (SELECT FROM fulfillment.leadership)
   OR EXISTS (SELECT FROM fulfillment.events)
   OR EXISTS (SELECT FROM fulfillment.dead_letters)
ON CONFLICT DO NOTHING;
