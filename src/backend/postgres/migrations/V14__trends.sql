-- The history that workers keep: a row per minute and worker, for two days, and the orders that were placed.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied; they know
-- nothing of it.

-- `counts` is JSON without what is 0: `jsonb` would take twice the space. `seq` counts the minutes of a worker's life.
CREATE TABLE IF NOT EXISTS fulfillment.trends (
    worker  text             COLLATE "C" NOT NULL,
    seq     bigint           NOT NULL,
    minute  timestamptz      NOT NULL,
    seconds double precision NOT NULL,
    counts  json             NOT NULL,
    PRIMARY KEY (worker, seq)
);

-- Leads to a day, and to what is to be deleted.
CREATE INDEX IF NOT EXISTS trends_minute ON fulfillment.trends (minute);

CREATE TABLE IF NOT EXISTS fulfillment.arrivals (
    minute timestamptz PRIMARY KEY,
    orders bigint      NOT NULL
);

-- One row. Orders up to `counted_to` were counted, which was the newest at `counted_at`; those up to `seen`, the newest at `seen_at`,
-- are counted once each transaction below `seen_xid` has ended.
CREATE TABLE IF NOT EXISTS fulfillment.arrivals_mark (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    counted_to bigint,
    counted_at timestamptz NOT NULL DEFAULT '-infinity',
    seen       bigint,
    seen_at    timestamptz NOT NULL DEFAULT '-infinity',
    seen_xid   bigint
);

INSERT INTO fulfillment.arrivals_mark DEFAULT VALUES ON CONFLICT DO NOTHING;
