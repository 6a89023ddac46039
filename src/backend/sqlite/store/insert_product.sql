-- Finds a product by name, or makes it. One that is there keeps its price.
INSERT INTO products (name, price, created_at) VALUES (:name, :price_cents / 100.0, :now)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING id;
