-- Writes how far worker $2 has come with job $1.
--
-- $3 cursor, $4 page, $5 done, $6 skipped, $7 refused, $8 problem, $9 whether it stays this worker's, $10 for how many seconds, or
-- after how many anybody may go on; $11 how it ended, if it has.
--
-- Guarantees: decided on the row that is written: nothing is written if the job is somebody else's by now, or has ended. Writes
-- totals and no differences, so that it may be repeated.
UPDATE fulfillment.jobs j
SET cursor = $3::int8,
    page = $4::int8[],
    done = $5::int8,
    skipped = $6::int8,
    refused = $7::int8,
    problem = $8::text,
    holder = CASE WHEN $9::bool THEN j.holder ELSE '' END,
    lease_until = clock_timestamp() + $10::float8 * interval '1 second',
    outcome = $11::text,
    ended_at = CASE WHEN $11::text IS NOT NULL THEN clock_timestamp() END
WHERE j.id = $1::int8 AND j.holder = $2::text AND j.ended_at IS NULL
RETURNING j.id
