-- What `submit --dedupe-column` has inserted: one row per order, for as long as the store is used.
-- Every statement may be run again.

CREATE TABLE IF NOT EXISTS fulfillment.submissions (
    key text        PRIMARY KEY,
    at  timestamptz NOT NULL DEFAULT now()
);
