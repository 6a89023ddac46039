-- Remembers request $1 with the fingerprint $2. No row comes back where it is remembered already, once another transaction that
-- does the same has ended. Forgets up to $4 others that are older than $3 seconds.
WITH forgotten AS (
    DELETE FROM fulfillment.requests r
    WHERE r.key = ANY (ARRAY(
        SELECT o.key
        FROM fulfillment.requests o
        WHERE o.at < clock_timestamp() - $3::float8 * interval '1 second' AND o.key <> $1::text
        ORDER BY o.at
        LIMIT $4::int8
        FOR UPDATE SKIP LOCKED
    ))
)
INSERT INTO fulfillment.requests (key, fingerprint, at) VALUES ($1::text, $2::text, clock_timestamp())
ON CONFLICT (key) DO NOTHING
RETURNING key
