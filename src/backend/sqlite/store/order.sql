-- An order's row and its product's name, for people. A null status is the foreign one `null`.
SELECT coalesce(status, 'null'), product_id, (SELECT name FROM products WHERE products.id = product_id), quantity,
       created_at, updated_at
FROM orders
WHERE id = ?1;
