-- Whether the timeline knows of the order, which it does from its first attempt on.
SELECT EXISTS (SELECT 1 FROM fulfillment_events WHERE order_id = ?1);
