-- Ends the holds of orders.
--
-- $1 order ids (each once), $2 worker, $3 whether this is kept in the timeline, $4 what it notes, $5 whether anything is written, or
-- only told.
--
-- Guarantees: one transaction; a row that another transaction has locked is passed over and said to be locked; rows are locked in
-- order of id, so that an entry of the timeline stands where the order was. A hold that ends stays for a while as one that is
-- over, so that the message that brought it doesn't bring it again (note_not_before.sql).
WITH request AS MATERIALIZED (
    SELECT r.order_id FROM pg_catalog.unnest((SELECT $1::int8[])) AS r (order_id)
),
found AS MATERIALIZED (
    SELECT o.id, o.status, o.product_id, o.quantity, o.created_at, {held} AS held
    FROM request r
    JOIN {orders} o ON o.id {=} r.order_id
    ORDER BY o.id
    FOR NO KEY UPDATE OF o SKIP LOCKED
),
written AS (
    UPDATE fulfillment.holds h
    SET until = clock_timestamp()
    FROM found f
    WHERE h.order_id = f.id::int8 AND $5::bool AND (h.until IS NULL OR h.until > clock_timestamp())
    RETURNING h.order_id
),
event AS (
    INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)
    SELECT f.id,
           greatest({asked}, last.at + interval '1 microsecond'),
           f.status::text,
           -- As in hold.sql.
           CASE WHEN last.state {=} f.status::text THEN last.attempt ELSE 0 END,
           CASE WHEN f.status {=} 'pending' THEN $2::text ELSE '' END,
           NULL,
           $4::text
    FROM written w
    JOIN found f ON f.id {=} w.order_id
    LEFT JOIN LATERAL (
        SELECT e.at, e.state, e.attempt
        FROM fulfillment.events e
        WHERE e.order_id {=} f.id
        ORDER BY e.at DESC
        LIMIT 1
    ) AS last ON true
    WHERE $3::bool AND CASE WHEN f.status {=} 'pending' OR f.status {=} 'processing' THEN true ELSE false END
    ON CONFLICT DO NOTHING
)
SELECT r.order_id           AS order_id,
       CASE
           WHEN f.id IS NOT NULL THEN 'found'
           WHEN (SELECT true FROM {orders} o WHERE o.id {=} r.order_id) THEN 'locked'
           ELSE 'missing'
       END                  AS presence,
       f.status::text       AS found_status,
       CASE WHEN $5::bool THEN w.order_id IS NOT NULL ELSE f.held IS NOT NULL END AS written,
       f.product_id::int8   AS product_id,
       f.quantity::int8     AS quantity,
       f.created_at         AS created_at,
       (
           SELECT e.correlation_id
           FROM fulfillment.events e
           WHERE e.order_id {=} f.id AND e.correlation_id IS NOT NULL
           ORDER BY e.at DESC
           LIMIT 1
       )                    AS correlation_id
FROM request r
LEFT JOIN found f ON f.id {=} r.order_id
LEFT JOIN written w ON w.order_id = r.order_id
