-- What has put orders in under an `Idempotency-Key`: one row per request, for a week.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied; they know
-- nothing of it.

-- `fingerprint` is of the request, `order_ids` and `product_ids` are what it was answered with.
CREATE TABLE IF NOT EXISTS fulfillment.requests (
    key         text        PRIMARY KEY,
    fingerprint text        NOT NULL,
    order_ids   bigint[]    NOT NULL DEFAULT '{}',
    product_ids bigint[]    NOT NULL DEFAULT '{}',
    at          timestamptz NOT NULL
);

-- Leads to those that are to be forgotten.
CREATE INDEX IF NOT EXISTS requests_at ON fulfillment.requests (at);
