-- Ids of the products with the names $1.
SELECT id::int8 AS id, name::text AS name FROM {products} WHERE name {=} ANY ($1::text[])
