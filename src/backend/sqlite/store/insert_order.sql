-- Inserts an order as an order API would.
INSERT INTO orders (product_id, quantity, status, created_at, updated_at)
VALUES (:product_id, :quantity, 'pending', :now, :now)
RETURNING id;
