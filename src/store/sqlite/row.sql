-- An order's row, for the decision on a transition. A null `updated_at` counts as infinitely old.
SELECT product_id, quantity, status, created_at, coalesce(updated_at, 0) FROM orders WHERE id = ?1;
