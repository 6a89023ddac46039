-- Finds what may be claimed: messages whose lease ran out, then retries that are due, then new ones, each kind oldest
-- first. Each part reads one index, no further than it has to. Of a payload over 64 KiB, which need not fit into memory,
-- only the length is read.
SELECT id, pushed_at, attempts, bytes, payload FROM (
    SELECT * FROM (
        SELECT 1 AS kind, due_at AS age, id, pushed_at, attempts, length(payload) AS bytes,
            CASE WHEN length(payload) <= 65536 THEN payload END AS payload
        FROM fulfillment_queue
        WHERE token IS NOT NULL AND due_at <= :now ORDER BY due_at, id LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT 2, due_at, id, pushed_at, attempts, length(payload),
            CASE WHEN length(payload) <= 65536 THEN payload END
        FROM fulfillment_queue
        WHERE token IS NULL AND due_at IS NOT NULL AND due_at <= :now ORDER BY due_at, id LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT 3, id, id, pushed_at, attempts, length(payload),
            CASE WHEN length(payload) <= 65536 THEN payload END
        FROM fulfillment_queue
        WHERE due_at IS NULL ORDER BY id LIMIT :limit
    )
)
ORDER BY kind, age, id LIMIT :limit;
