-- Renews the entry of worker $1 in the registry, and answers with what is in force for it.
--
-- $2 host, $3 pid, $4 version, $5 lease in seconds, $6 orders in flight, $7 rows held, $8 calls at once, $9 whether it has
-- stopped to claim, $10 seconds for which an entry is fresh, $11 seconds for which that of a dead worker is kept.
--
-- Guarantees: writes nothing while the entry is fresh and says the same of claims and limit. Removes at most 100 entries of
-- dead workers, and passes over those that another worker removes.
WITH fresh AS MATERIALIZED (
    SELECT
    FROM fulfillment.workers w
    WHERE w.worker = $1::text
      AND w.seen_at BETWEEN clock_timestamp() - $10::float8 * interval '1 second' AND clock_timestamp()
      AND w.holds_claims = $9::bool
      AND w.concurrency = $8::int8
),
written AS (
    INSERT INTO fulfillment.workers AS w (
        worker, host, pid, version, started_at, seen_at, lease_seconds, in_flight, row_leases, concurrency, holds_claims
    )
    SELECT $1::text, $2::text, $3::int8, $4::text, clock_timestamp(), clock_timestamp(), $5::float8, $6::int8, $7::int8,
           $8::int8, $9::bool
    WHERE NOT EXISTS (SELECT FROM fresh)
    ON CONFLICT (worker) DO UPDATE
    SET seen_at = excluded.seen_at,
        in_flight = excluded.in_flight,
        row_leases = excluded.row_leases,
        concurrency = excluded.concurrency,
        holds_claims = excluded.holds_claims
),
removed AS (
    DELETE FROM fulfillment.workers w
    WHERE w.worker = ANY (ARRAY(
        SELECT d.worker
        FROM fulfillment.workers d
        WHERE d.seen_at < clock_timestamp() - $11::float8 * interval '1 second'
          AND d.worker <> $1::text
          AND NOT EXISTS (SELECT FROM fresh)
        ORDER BY d.worker
        LIMIT 100
        FOR UPDATE SKIP LOCKED
    ))
)
SELECT c.control, c.target, c.value, c.set_by, c.why, c.since,
       greatest(extract(epoch FROM clock_timestamp() - c.since), 0)::float8 AS age,
       extract(epoch FROM c.expires_at - clock_timestamp())::float8 AS seconds_left
FROM fulfillment.controls c
WHERE (c.target = '' OR c.target = $1::text)
  AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
ORDER BY c.control, c.target
LIMIT 100
