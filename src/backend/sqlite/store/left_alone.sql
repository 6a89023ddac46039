-- Number of open orders that were left as they are since before :oldest.
SELECT count(*)
FROM orders
WHERE status IS NOT 'fulfilled' AND status IN ('pending', 'processing') AND coalesce(updated_at, created_at) < :oldest;
