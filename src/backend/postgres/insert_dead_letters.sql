-- Keeps dead letters of messages that no order's row speaks for. A letter with the same claim id stays as
-- it is, unless it is resolved: then there is another one.
--
-- By position: $1 claim ids, $2 order ids, $3 payloads, $4 reasons, $5 details, $6 attempts. $7 worker.
INSERT INTO fulfillment.dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
SELECT l.claim_id, l.order_id, l.payload, l.reason, l.detail, l.attempts, $7::text, {now}
FROM unnest($1::text[], $2::int8[], $3::bytea[], $4::text[], $5::text[], $6::int4[])
    AS l (claim_id, order_id, payload, reason, detail, attempts)
ORDER BY l.claim_id
ON CONFLICT DO NOTHING
