-- Judges at most :limit orders with ids above :after, as the statement of the same name for Postgres does, an order a row.
SELECT o.id,
       coalesce(o.status, 'null'),
       CASE
           WHEN o.status IN ('pending', 'processing') THEN 'open'
           WHEN o.status = 'failed' THEN
               CASE WHEN EXISTS (SELECT 1 FROM fulfillment_dead_letters d WHERE d.order_id = o.id)
                    THEN 'sound' ELSE 'no_dead_letter' END
           WHEN o.status = 'fulfilled' THEN (
               SELECT CASE
                          WHEN count(*) = 0 THEN 'no_timeline'
                          WHEN count(*) FILTER (WHERE e.state = 'fulfilled') = 1 THEN 'sound'
                          ELSE 'not_once'
                      END
               FROM fulfillment_events e
               WHERE e.order_id = o.id
           )
           ELSE 'sound'
       END
FROM orders o
WHERE o.id > :after
ORDER BY o.id
LIMIT :limit;
