-- Number of open orders by status, and when the oldest of each was created: null where none has a `created_at`. The
-- condition on 'fulfilled' lets the index of open orders be used.
SELECT status, count(*), min(created_at)
FROM orders
WHERE status IS NOT 'fulfilled' AND status IN ('pending', 'processing')
GROUP BY status;
