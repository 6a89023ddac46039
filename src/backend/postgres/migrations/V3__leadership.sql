-- Who leads the workers in what only one of them does at a time, and until when.
-- Every statement may be run again.

CREATE TABLE IF NOT EXISTS fulfillment.leadership (
    name   text        PRIMARY KEY,
    holder text        NOT NULL,
    until  timestamptz NOT NULL
);
