-- The status of one order.
SELECT coalesce(status, 'null') FROM orders WHERE id = ?1;
