-- The row of order $1 with its product's name, and the clock. A null status is the foreign one `null`.
SELECT coalesce(o.status::text, 'null')                              AS status,
       o.product_id::int8                                            AS product_id,
       (SELECT p.name::text FROM products p WHERE p.id = o.product_id) AS product,
       o.quantity::int8                                              AS quantity,
       o.created_at                                                  AS created_at,
       o.updated_at                                                  AS updated_at,
       clock_timestamp()::timestamp                                  AS read_at
FROM orders o
WHERE o.id = $1::int8
