-- Entries of the timeline that can be seen in snapshot $2 and could not in snapshot $1, in order of time: those after order $5 at
-- $4, at most $6. None of them is from before $3.
--
-- So each entry is read once, whenever its transaction ends. Its number has 32 bits in the row; it lies within half of
-- their range of the snapshot's. An entry that a subtransaction writes while the snapshot is taken is not told apart: no
-- worker has one. Reads the newest entries alone, by the index on their time. Changes nothing and waits for nobody.
WITH newest AS MATERIALIZED (
    SELECT e.order_id, e.at, e.state, e.attempt, e.worker, e.correlation_id, e.note,
           x.last + (e.xmin::text::int8 - x.last % 4294967296 + 6442450944) % 4294967296 - 2147483648 AS writer
    FROM fulfillment.events e
    CROSS JOIN (SELECT txid_snapshot_xmax($2::text::txid_snapshot) AS last) AS x
    WHERE e.at >= $3::timestamp
)
SELECT n.order_id, n.at, n.state, n.attempt,
       coalesce(b.worker, n.worker)                                             AS worker,
       CASE WHEN n.worker = '' THEN b.correlation_id ELSE n.correlation_id END  AS correlation_id,
       n.note
FROM (
    SELECT n.*
    FROM newest n
    WHERE (n.at, n.order_id) > ($4::timestamp, $5::int8)
      AND txid_visible_in_snapshot(n.writer, $2::text::txid_snapshot)
      AND NOT txid_visible_in_snapshot(n.writer, $1::text::txid_snapshot)
    ORDER BY n.at, n.order_id
    LIMIT $6::int8
) AS n
LEFT JOIN LATERAL (
    SELECT begun.worker, begun.correlation_id
    FROM fulfillment.events begun
    WHERE begun.order_id = n.order_id AND begun.at < n.at AND begun.worker <> ''
    ORDER BY begun.at DESC
    LIMIT 1
) AS b ON n.worker = ''
ORDER BY n.at, n.order_id
