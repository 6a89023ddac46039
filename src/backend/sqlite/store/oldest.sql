-- When the oldest order that is pending and the oldest that is processing were created. The condition on 'fulfilled' lets
-- the index be used.
SELECT
    (SELECT min(created_at) FROM orders WHERE status = 'pending' AND status IS NOT 'fulfilled'),
    (SELECT min(created_at) FROM orders WHERE status = 'processing' AND status IS NOT 'fulfilled');
