-- Where open orders are, for `orders` without an index on `status`: above the low-water mark, or noted one by one.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied.

-- One row. The leader of the reconcilers moves it; see `sweep.sql`.
CREATE TABLE IF NOT EXISTS fulfillment.low_water_mark (
    only_row      boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Each order with an id up to this was closed when it was last looked at, or is in `stragglers`.
    closed_up_to  bigint      NOT NULL DEFAULT -9223372036854775808,
    -- How far the sweep below the mark has come.
    swept_up_to   bigint      NOT NULL DEFAULT -9223372036854775808,
    -- How far the mark may move once each transaction below `settling_xid` has ended.
    settling_id   bigint,
    settling_xid  bigint,
    settling_from timestamptz NOT NULL DEFAULT '-infinity'
);

INSERT INTO fulfillment.low_water_mark DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Orders below the mark that may be open. `noted_at` tells one note of an order from the next.
CREATE TABLE IF NOT EXISTS fulfillment.stragglers (
    order_id bigint      PRIMARY KEY,
    noted_at timestamptz NOT NULL
);
