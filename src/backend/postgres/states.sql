-- The states of the orders $1. An order without a row is not in the answer.
SELECT id::int8 AS order_id, coalesce(status::text, 'null') AS status
FROM {orders}
WHERE id {=} ANY ($1::int8[])
