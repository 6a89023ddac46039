-- Number of open orders by status, and when the oldest of each was created: null where none has a `created_at`; what
-- is held at :now has none. The
-- condition on 'fulfilled' lets the index of open orders be used.
SELECT status, count(*), min(created_at) FILTER (WHERE NOT EXISTS (
           SELECT 1 FROM fulfillment_holds h WHERE h.order_id = orders.id AND (h.until IS NULL OR h.until > :now)
       ))
FROM orders
WHERE status IS NOT 'fulfilled' AND status IN ('pending', 'processing')
GROUP BY status;
