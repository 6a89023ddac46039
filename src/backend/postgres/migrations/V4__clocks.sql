-- What the workers know of the clocks behind `orders.updated_at`, which has no time zone: whether its age tells that a lease
-- is over, and where it doesn't, since when a fence has been seen.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied.

-- Time zones in which fences were written lately. `behind_at` is when one last came back behind the clock, or not above the
-- one before it, although the clock was written.
CREATE TABLE IF NOT EXISTS fulfillment.clocks (
    zone      text        PRIMARY KEY,
    noted_at  timestamptz NOT NULL,
    behind_at timestamptz
);

-- Fences whose age can't be told, and since when each has been seen. `fence` is the `orders.updated_at`, in UTC where that
-- column has a zone.
CREATE TABLE IF NOT EXISTS fulfillment.observed_fences (
    order_id   bigint      PRIMARY KEY,
    fence      timestamp   NOT NULL,
    first_seen timestamptz NOT NULL
);
