-- Deletes rows that are older than $1 seconds, at most $2, and the arrivals of that time, of which there is one row a minute. What
-- another worker deletes is passed over.
WITH old AS (
    SELECT t.worker, t.seq
    FROM fulfillment.trends t
    WHERE t.minute < clock_timestamp() - $1::float8 * interval '1 second'
    ORDER BY t.minute
    LIMIT $2::int8
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM fulfillment.trends t USING old WHERE t.worker = old.worker AND t.seq = old.seq RETURNING t.seq
),
gone_arrivals AS (
    DELETE FROM fulfillment.arrivals a WHERE a.minute < clock_timestamp() - $1::float8 * interval '1 second'
)
SELECT count(*) AS deleted FROM gone
