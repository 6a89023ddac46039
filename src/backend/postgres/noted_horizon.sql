-- The horizon, if one was noted; null where orders of every age are taken in.
SELECT nullif(adopt_from, '-infinity') AS adopt_from, last_order_id FROM fulfillment.horizon
