-- Inserts orders as an order API would: `pending`, with the table's own defaults for all the rest.
--
-- $1 product ids, $2 quantities, by position. Every row comes back; which came from which position is not promised, but
-- two rows with the same product and quantity are interchangeable.
INSERT INTO {orders} (product_id, quantity, status)
SELECT r.product_id::int4, r.quantity::int4, 'pending'
FROM unnest($1::int8[], $2::int8[]) AS r (product_id, quantity)
RETURNING id::int8 AS order_id, product_id::int8 AS product_id, quantity::int8 AS quantity
