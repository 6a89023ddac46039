-- Puts note $3 by $2 into the timeline of each of orders $1 that is `pending`. Rows are locked until then, so that it stands before
-- the next attempt's entries; one that another transaction has locked is left out.
INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, note)
SELECT o.id, {asked}, 'pending', 0, $2::text, $3::text
FROM (
    SELECT w.id::int8 AS id
    FROM {orders} w
    WHERE w.id {=} ANY ($1::int8[]) AND w.status {=} 'pending'
    ORDER BY w.id
    FOR UPDATE SKIP LOCKED
) AS o
ON CONFLICT DO NOTHING
