-- Clears control $1 of target $2, by $3, for the reason $4; $5 is the action. A row comes back if it was in force.
--
-- Guarantees: one statement, so that control and activity are written together or not at all; of two operators that clear
-- the same, one did.
WITH cleared AS (
    DELETE FROM fulfillment.controls c
    WHERE c.control = $1::text AND c.target = $2::text
    RETURNING c.expires_at IS NULL OR c.expires_at > clock_timestamp() AS in_force
),
noted AS (
    INSERT INTO fulfillment.activity (at, by, action, target, detail, why)
    SELECT clock_timestamp(), $3::text, $5::text, $2::text, '', $4::text FROM cleared c WHERE c.in_force
)
SELECT 1 AS one FROM cleared c WHERE c.in_force
