-- Holds pending orders until the times that their messages name.
--
-- $1 order ids (each once), $2 the times, by position; $3 who holds them.
--
-- A time that is over holds nothing, and one that was noted before changes nothing: an order that an operator has released stays so.
-- An operator's hold is only made longer.
INSERT INTO fulfillment.holds AS h (order_id, until, held_by, why, at, not_before)
SELECT r.order_id, r.not_before, $3::text, 'not_before', clock_timestamp(), r.not_before
FROM unnest((SELECT $1::int8[]), (SELECT $2::timestamptz[])) AS r (order_id, not_before)
WHERE r.not_before > clock_timestamp()
  AND (SELECT CASE WHEN o.status {=} 'pending' THEN true END FROM {orders} o WHERE o.id {=} r.order_id)
ORDER BY r.order_id
ON CONFLICT (order_id) DO UPDATE
SET until = CASE WHEN h.until IS NOT NULL THEN greatest(h.until, excluded.not_before) END,
    not_before = excluded.not_before
WHERE h.not_before IS DISTINCT FROM excluded.not_before
