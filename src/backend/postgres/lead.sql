-- Takes or keeps the lead $1 for worker $2, for $3 seconds from now. A row comes back if it is ours.
--
-- Guarantees: one statement, decided on the row that is written, which is read again after a wait for its lock; only the
-- database's clock counts. Whoever held it may not have noticed yet: what a leader does must be harmless when two do it.
INSERT INTO fulfillment.leadership AS l (name, holder, until)
VALUES ($1::text, $2::text, clock_timestamp() + $3::float8 * interval '1 second')
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder,
    until = clock_timestamp() + $3::float8 * interval '1 second'
WHERE l.holder = excluded.holder OR l.until < clock_timestamp()
RETURNING holder
