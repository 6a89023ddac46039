-- Ends job $1, by $2, for the reason $3. A row comes back if it had not ended.
--
-- Guarantees: one statement, so that job and activity are written together or not at all; of two operators that cancel it, one did.
WITH cancelled AS (
    UPDATE fulfillment.jobs j
    SET outcome = 'cancelled', ended_at = clock_timestamp(), holder = '', lease_until = NULL
    WHERE j.id = $1::int8 AND j.ended_at IS NULL
    RETURNING j.id, j.kind, j.done
),
noted AS (
    INSERT INTO fulfillment.activity (at, by, action, target, detail, why)
    SELECT clock_timestamp(), $2::text, 'cancel_job', '', format('job %s: %s, %s done', c.id, c.kind, c.done), $3::text
    FROM cancelled c
)
SELECT c.id FROM cancelled c
