-- What an operator decided about a dead letter: retried or discarded, who, when and why. A letter is never deleted.
-- The table is made anew, as a message has one letter that nobody has resolved, and gets another one if it comes again
-- after that: `claim_id` alone is no longer unique.
CREATE TABLE fulfillment_dead_letters_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    claim_id TEXT NOT NULL,
    order_id INTEGER,
    payload BLOB NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    worker TEXT NOT NULL,
    at INTEGER NOT NULL,
    resolved_at INTEGER,
    resolution TEXT CHECK (resolution IN ('retried', 'discarded')),
    resolved_by TEXT,
    resolved_reason TEXT
) STRICT;
INSERT INTO fulfillment_dead_letters_new (id, claim_id, order_id, payload, reason, detail, attempts, worker, at)
SELECT id, claim_id, order_id, payload, reason, detail, attempts, worker, at FROM fulfillment_dead_letters;
DROP TABLE fulfillment_dead_letters;
ALTER TABLE fulfillment_dead_letters_new RENAME TO fulfillment_dead_letters;

CREATE UNIQUE INDEX fulfillment_dead_letters_unresolved ON fulfillment_dead_letters (claim_id) WHERE resolved_at IS NULL;
CREATE INDEX fulfillment_dead_letters_order_id ON fulfillment_dead_letters (order_id) WHERE order_id IS NOT NULL;
