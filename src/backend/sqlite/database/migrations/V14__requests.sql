-- What has put orders in under an `Idempotency-Key`: one row per request, for a week. `fingerprint` is of the request; `orders` is what it was
-- answered with, pairs of order and product as JSON. Times are microseconds since 1970.
CREATE TABLE fulfillment_requests (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    orders TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- Leads to those that are to be forgotten.
CREATE INDEX fulfillment_requests_at ON fulfillment_requests (at);
