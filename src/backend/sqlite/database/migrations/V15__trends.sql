-- The history that workers keep: a row per minute and worker, for two days, and the orders that were placed. `minute` is in minutes since
-- 1970, `counts` JSON without what is 0; `seq` counts the minutes of a worker's life.
CREATE TABLE fulfillment_trends (
    worker TEXT NOT NULL,
    seq INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    seconds REAL NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (worker, seq)
) STRICT;

-- Leads to a day, and to what is to be deleted.
CREATE INDEX fulfillment_trends_minute ON fulfillment_trends (minute);

CREATE TABLE fulfillment_arrivals (
    minute INTEGER PRIMARY KEY,
    orders INTEGER NOT NULL
) STRICT;

-- One row, from the first count on. Orders up to `counted_to` were counted, the last time `at` microseconds since 1970.
CREATE TABLE fulfillment_arrivals_mark (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    counted_to INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
