-- What operators decide about everything that matches a filter, as rows that are worked off. `selection` and `page` are JSON; `cursor` is
-- the last id that is behind it, `page` what is being decided about. A job is its holder's until `lease_until`. One that has ended has
-- `outcome` and `ended_at`; the last 1,000 of them are kept. Times are microseconds since 1970.
CREATE TABLE fulfillment_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    selection TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    by TEXT NOT NULL,
    why TEXT NOT NULL,
    up_to INTEGER NOT NULL,
    matching INTEGER NOT NULL,
    rate INTEGER,
    at INTEGER NOT NULL,
    cursor INTEGER,
    page TEXT NOT NULL DEFAULT '[]',
    done INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    problem TEXT,
    holder TEXT NOT NULL DEFAULT '',
    lease_until INTEGER,
    outcome TEXT,
    ended_at INTEGER
) STRICT;

-- Two operators with one selection get one job.
CREATE UNIQUE INDEX fulfillment_jobs_open ON fulfillment_jobs (fingerprint) WHERE ended_at IS NULL;
