-- Makes a job, unless an open one has the same fingerprint $3: then no row comes back, and nothing is written.
--
-- $1 kind, $2 selection, $4 who, $5 why, $6 the greatest id, $7 how many match, $8 the most per second, $9 how many jobs that
-- ended are kept.
--
-- Guarantees: one statement, so that job and activity are written together or not at all; of two operators at once one makes it.
WITH made AS (
    INSERT INTO fulfillment.jobs AS j (kind, selection, fingerprint, by, why, up_to, matching, rate, at)
    VALUES ($1::text, $2::text, $3::text, $4::text, $5::text, $6::int8, $7::int8, $8::int8, clock_timestamp())
    ON CONFLICT (fingerprint) WHERE ended_at IS NULL DO NOTHING
    RETURNING {job}
),
noted AS (
    INSERT INTO fulfillment.activity (at, by, action, target, detail, why)
    SELECT clock_timestamp(), m.by, m.kind, '', format('job %s: %s of %s', m.id, m.matching, m.selection), m.why FROM made m
),
forgotten AS (
    DELETE FROM fulfillment.jobs j
    WHERE j.id = ANY (ARRAY(
        SELECT e.id FROM fulfillment.jobs e WHERE e.ended_at IS NOT NULL ORDER BY e.id DESC OFFSET $9::int8
    ))
),
forgotten_activity AS (
    DELETE FROM fulfillment.activity a
    WHERE a.id <= (SELECT max(b.id) FROM fulfillment.activity b) - 10000
)
SELECT m.* FROM made m
