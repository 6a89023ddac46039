-- Number of dead letters without a decision, by reason.
--
-- Reads these alone, by the index on letters without a decision: those with one are not looked at, however many they are.
-- Changes nothing and waits for nobody.
SELECT reason   AS reason,
       count(*) AS letters
FROM fulfillment.dead_letters
WHERE resolved_at IS NULL
GROUP BY reason
