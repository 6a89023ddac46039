-- Takes or keeps a job for worker $1, for $2 seconds from now: job $3, or the oldest of a kind in $4. Its row comes back if there
-- is one.
--
-- Guarantees: one statement, which passes over a row that another worker is taking; only the database's clock counts. Whoever
-- had it may not have noticed yet: what a job does must be harmless when two do it.
UPDATE fulfillment.jobs j
SET holder = $1::text,
    lease_until = clock_timestamp() + $2::float8 * interval '1 second'
WHERE j.id = (
    SELECT c.id
    FROM fulfillment.jobs c
    WHERE c.ended_at IS NULL
      AND (c.holder = $1::text OR c.lease_until IS NULL OR c.lease_until < clock_timestamp())
      AND ($3::int8 IS NULL OR c.id = $3::int8)
      AND c.kind = ANY ($4::text[])
    ORDER BY c.id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING {job}
