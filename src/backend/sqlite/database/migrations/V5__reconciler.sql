-- Who leads the workers in what only one of them does at a time, and until when; see lead.sql.
CREATE TABLE fulfillment_leadership (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Under which key a message was put in for an order that had none; see adopt.sql.
ALTER TABLE fulfillment_queue ADD COLUMN adopted_as TEXT;
CREATE UNIQUE INDEX fulfillment_queue_adopted ON fulfillment_queue (adopted_as) WHERE adopted_as IS NOT NULL;
