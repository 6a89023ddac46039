-- What operators set for workers, who set it and why, and which workers there are.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied; they know
-- nothing of it.

-- One row for each control in force. `target` is a worker's identity, or empty for every worker.
CREATE TABLE IF NOT EXISTS fulfillment.controls (
    control    text             NOT NULL,
    target     text             NOT NULL DEFAULT '',
    value      double precision,
    set_by     text             NOT NULL,
    why        text             NOT NULL,
    since      timestamptz      NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (control, target)
);

-- One row for each worker that runs, or died within a day.
CREATE TABLE IF NOT EXISTS fulfillment.workers (
    worker        text             PRIMARY KEY,
    host          text             NOT NULL,
    pid           bigint           NOT NULL,
    version       text             NOT NULL,
    started_at    timestamptz      NOT NULL,
    seen_at       timestamptz      NOT NULL,
    lease_seconds double precision NOT NULL,
    in_flight     bigint           NOT NULL,
    row_leases    bigint           NOT NULL,
    concurrency   bigint           NOT NULL,
    holds_claims  boolean          NOT NULL
) WITH (fillfactor = 50);

-- What people did, the last 10,000 of it.
CREATE TABLE IF NOT EXISTS fulfillment.activity (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL,
    by     text        NOT NULL,
    action text        NOT NULL,
    target text        NOT NULL,
    detail text        NOT NULL,
    why    text        NOT NULL
);
