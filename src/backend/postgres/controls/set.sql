-- Sets control $1 of target $2 to $3 for $4 seconds, by $5, for the reason $6; $7 is the action and $8 the detail in words.
-- No row comes back where the target is a worker that the registry doesn't know; nothing is written then.
--
-- Guarantees: one statement, so that control and activity are written together or not at all. The last of two operators wins,
-- and both are in the activity. Controls that ended, and those of workers that are gone, are removed; so is activity but for
-- the last 10,000.
WITH known AS MATERIALIZED (
    SELECT 1 AS one WHERE $2::text = '' OR EXISTS (SELECT FROM fulfillment.workers w WHERE w.worker = $2::text)
),
written AS (
    INSERT INTO fulfillment.controls AS c (control, target, value, set_by, why, since, expires_at)
    SELECT $1::text, $2::text, $3::float8, $5::text, $6::text, clock_timestamp(),
           clock_timestamp() + $4::float8 * interval '1 second'
    FROM known
    ON CONFLICT (control, target) DO UPDATE
    SET value = excluded.value,
        set_by = excluded.set_by,
        why = excluded.why,
        expires_at = excluded.expires_at,
        since = CASE
            WHEN (c.value = excluded.value OR (c.value IS NULL AND excluded.value IS NULL))
             AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
            THEN c.since
            ELSE excluded.since
        END
    RETURNING c.control AS control
),
noted AS (
    INSERT INTO fulfillment.activity (at, by, action, target, detail, why)
    SELECT clock_timestamp(), $5::text, $7::text, $2::text, $8::text, $6::text FROM written
),
forgotten AS (
    DELETE FROM fulfillment.activity a
    WHERE a.id <= (SELECT max(b.id) FROM fulfillment.activity b) - 10000
),
ended AS (
    DELETE FROM fulfillment.controls c
    WHERE (c.control <> $1::text OR c.target <> $2::text)
      AND (
          c.expires_at <= clock_timestamp()
          OR (c.target <> '' AND NOT EXISTS (SELECT FROM fulfillment.workers w WHERE w.worker = c.target))
      )
)
SELECT w.control FROM written w
