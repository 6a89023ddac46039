-- An order's row and its product's name, for the decision on a transition. A null `updated_at` counts as infinitely old.
SELECT product_id, quantity, status, created_at, coalesce(updated_at, 0),
       (SELECT name FROM products WHERE products.id = product_id)
FROM orders
WHERE id = ?1;
