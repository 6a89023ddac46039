-- What an operator decided about a dead letter: retried or discarded, who, when and why. A letter is never deleted.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied.

ALTER TABLE fulfillment.dead_letters
    ADD COLUMN IF NOT EXISTS resolved_at     timestamp,
    ADD COLUMN IF NOT EXISTS resolution      text CHECK (resolution IN ('retried', 'discarded')),
    ADD COLUMN IF NOT EXISTS resolved_by     text,
    ADD COLUMN IF NOT EXISTS resolved_reason text;

-- A message has one letter that nobody has resolved. If it comes again after that, it gets another one.
CREATE UNIQUE INDEX IF NOT EXISTS dead_letters_unresolved ON fulfillment.dead_letters (claim_id) WHERE resolved_at IS NULL;
ALTER TABLE fulfillment.dead_letters DROP CONSTRAINT IF EXISTS dead_letters_claim_id_key;
