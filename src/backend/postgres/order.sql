-- The row of order $1 with its product's name, and its ages where the clocks tell them. A null status is the foreign one
-- `null`.
WITH {clock}
SELECT coalesce(o.status::text, 'null')                              AS status,
       o.product_id::int8                                            AS product_id,
       (SELECT p.name::text FROM {products} p WHERE p.id {=} o.product_id) AS product,
       o.quantity::int8                                              AS quantity,
       o.created_at                                                  AS created_at,
       o.updated_at                                                  AS updated_at,
       CASE WHEN NOT k.zones_disagree THEN {age o.created_at} END    AS age,
       CASE WHEN NOT k.doubted THEN {age o.updated_at} END           AS idle
FROM {orders} o
CROSS JOIN clock k
WHERE o.id {=} $1::int8
