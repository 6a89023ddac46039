-- What can be seen now: the snapshot, the oldest transaction that had not ended, the first that had not begun, and the time as
-- the timeline has it. Says whether an index leads to the newest entries.
SELECT txid_current_snapshot()::text                                 AS snapshot,
       txid_snapshot_xmin(txid_current_snapshot())                   AS oldest,
       txid_snapshot_xmax(txid_current_snapshot())                   AS first,
       {now}                                                         AS now,
       EXISTS (
           SELECT
           FROM pg_catalog.pg_index i
           WHERE i.indexrelid {=} to_regclass('fulfillment.events_at') AND i.indisvalid
       )                                                             AS is_indexed
