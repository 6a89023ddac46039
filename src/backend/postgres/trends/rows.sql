-- Rows after minute $1, worker $2 and number $3, and before minute $4, in this order, at most $5. Changes nothing.
SELECT t.minute, t.worker, t.seq, t.seconds, t.counts::text AS counts
FROM fulfillment.trends t
WHERE t.minute >= $1::timestamptz AND t.minute < $4::timestamptz
  AND (t.minute > $1::timestamptz OR (t.worker, t.seq) > ($2::text, $3::int8))
ORDER BY t.minute, t.worker, t.seq
LIMIT $5::int8
