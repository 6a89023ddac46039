-- What operators decide about everything that matches a filter, as rows that are worked off.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied; they know
-- nothing of it.

-- `selection` is JSON. `cursor` is the last id that is behind it, `page` what is being decided about. A job is its holder's until
-- `lease_until`. One that has ended has `outcome` and `ended_at`; the last 1,000 of them are kept.
CREATE TABLE IF NOT EXISTS fulfillment.jobs (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text        NOT NULL,
    selection   text        NOT NULL,
    fingerprint text        NOT NULL,
    by          text        NOT NULL,
    why         text        NOT NULL,
    up_to       bigint      NOT NULL,
    matching    bigint      NOT NULL,
    rate        bigint,
    at          timestamptz NOT NULL,
    cursor      bigint,
    page        bigint[]    NOT NULL DEFAULT '{}',
    done        bigint      NOT NULL DEFAULT 0,
    skipped     bigint      NOT NULL DEFAULT 0,
    refused     bigint      NOT NULL DEFAULT 0,
    problem     text,
    holder      text        NOT NULL DEFAULT '',
    lease_until timestamptz,
    outcome     text,
    ended_at    timestamptz
) WITH (fillfactor = 50);

-- Two operators with one selection get one job.
CREATE UNIQUE INDEX IF NOT EXISTS jobs_open ON fulfillment.jobs (fingerprint) WHERE ended_at IS NULL;
