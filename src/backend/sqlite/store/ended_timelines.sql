-- Of the :limit entries that follow order :after: the last order, how many entries there are, and the orders whose timelines
-- ended before :cutoff, whether each is over and done with: neither open nor with a dead letter that nobody has decided about.
WITH page AS MATERIALIZED (
    SELECT order_id, at FROM fulfillment_events WHERE order_id > :after ORDER BY order_id, at LIMIT :limit
),
whole AS (SELECT order_id, max(at) AS at FROM page GROUP BY order_id)
SELECT w.order_id,
       (SELECT count(*) FROM page),
       w.at < :cutoff AND (SELECT max(e.at) FROM fulfillment_events e WHERE e.order_id = w.order_id) < :cutoff,
       coalesce((SELECT o.status NOT IN ('pending', 'processing') FROM orders o WHERE o.id = w.order_id), 1)
           AND NOT EXISTS (
               SELECT 1 FROM fulfillment_dead_letters d WHERE d.order_id = w.order_id AND d.resolved_at IS NULL
           )
FROM whole w
ORDER BY w.order_id;
