-- What operators set for workers, who set it and why, which workers there are, and what people did (the last 10,000 of it).
-- `target` is a worker's identity, or empty for every worker.
CREATE TABLE fulfillment_controls (
    control TEXT NOT NULL,
    target TEXT NOT NULL DEFAULT '',
    value REAL,
    set_by TEXT NOT NULL,
    why TEXT NOT NULL,
    since INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (control, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE fulfillment_workers (
    worker TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    in_flight INTEGER NOT NULL,
    row_leases INTEGER NOT NULL,
    concurrency INTEGER NOT NULL,
    holds_claims INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE fulfillment_activity (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT;
