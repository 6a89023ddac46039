-- The whole timeline for whoever reads it by SQL: an entry with an empty worker is of the same attempt as the entry before it that
-- has one, and has its worker and correlation id.
CREATE VIEW fulfillment_timeline AS
SELECT e.order_id, e.at, e.state, e.attempt,
       CASE WHEN e.worker <> '' OR b.at IS NULL THEN e.worker ELSE b.worker END AS worker,
       CASE WHEN e.worker <> '' THEN e.correlation_id ELSE b.correlation_id END AS correlation_id,
       e.note
FROM fulfillment_events e
LEFT JOIN fulfillment_events b
    ON e.worker = ''
   AND b.order_id = e.order_id
   AND b.at = (
       SELECT max(begun.at) FROM fulfillment_events begun
       WHERE begun.order_id = e.order_id AND begun.at < e.at AND begun.worker <> ''
   );

-- One row, once `--keep-events` has been set: timelines that ended before `cutoff` are deleted. It was last moved at `moved_at`.
CREATE TABLE fulfillment_retention (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    cutoff INTEGER NOT NULL,
    moved_at INTEGER NOT NULL
) STRICT;
