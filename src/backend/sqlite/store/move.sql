-- Writes a transition that was admitted. It names the fence it leaves, though within the transaction that read it
-- nobody can have moved it.
UPDATE orders SET status = :status, updated_at = :fence WHERE id = :id AND coalesce(updated_at, 0) = :left;
