-- The whole timeline for whoever reads it by SQL, and how far it has been deleted.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied.

-- An entry of `events` with an empty worker is of the same attempt as the entry before it that has one, and has its worker and
-- correlation id: those are written once for each attempt. Entries of versions before have their own.
CREATE OR REPLACE VIEW fulfillment.timeline AS
SELECT e.order_id,
       e.at,
       e.state,
       e.attempt,
       coalesce(b.worker, e.worker) AS worker,
       CASE WHEN e.worker = '' THEN b.correlation_id ELSE e.correlation_id END AS correlation_id,
       e.note
FROM fulfillment.events e
LEFT JOIN LATERAL (
    SELECT begun.worker, begun.correlation_id
    FROM fulfillment.events begun
    WHERE begun.order_id = e.order_id AND begun.at < e.at AND begun.worker <> ''
    ORDER BY begun.at DESC
    LIMIT 1
) AS b ON e.worker = '';

-- One row, once `--keep-events` has been set: timelines that ended before `cutoff` are deleted. It was last moved at `moved_at`.
CREATE TABLE IF NOT EXISTS fulfillment.retention (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    cutoff   timestamp   NOT NULL,
    moved_at timestamptz NOT NULL
);
