-- Keeps a dead letter. One that is there already and not resolved stays as it is.
INSERT INTO fulfillment_dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
VALUES (:claim_id, :order_id, :payload, :reason, :detail, :attempts, :worker, :at)
ON CONFLICT (claim_id) WHERE resolved_at IS NULL DO NOTHING;
