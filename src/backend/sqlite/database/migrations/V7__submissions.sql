-- What `submit --dedupe-column` has inserted: one row per order, for as long as the file is used.

CREATE TABLE fulfillment_submissions (
    key TEXT    PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
