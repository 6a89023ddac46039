-- The timeline: one row per transition, `state` being the status entered and `at` the `updated_at` written, which is
-- strictly increasing for an order. Kept in that order, it needs no index besides.
CREATE TABLE fulfillment_events (
    order_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    worker TEXT NOT NULL,
    correlation_id TEXT,
    note TEXT,
    PRIMARY KEY (order_id, at)
) STRICT, WITHOUT ROWID;

-- Messages that were given up. `claim_id` is the queue's name for the message: burying it twice keeps one row.
CREATE TABLE fulfillment_dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    claim_id TEXT NOT NULL UNIQUE,
    order_id INTEGER,
    payload BLOB NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    worker TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
