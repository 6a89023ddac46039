-- Dead letters with an id above :after, in order of id, at most :limit (-1: all), with what their orders' rows say now.
-- What of the other parameters isn't null must hold; :ids and :reasons are arrays of JSON.
SELECT l.id AS id, l.order_id, orders.id IS NOT NULL, orders.status, l.payload, l.reason, l.detail, l.attempts, l.worker, l.at,
       l.resolved_at, l.resolution, l.resolved_by, l.resolved_reason
FROM fulfillment_dead_letters AS l LEFT JOIN orders ON orders.id = l.order_id
WHERE l.id > :after
  AND (:ids IS NULL OR l.id IN (SELECT value FROM json_each(:ids)))
  AND (:up_to IS NULL OR l.id <= :up_to)
  AND (:reasons IS NULL OR l.reason IN (SELECT value FROM json_each(:reasons)))
  AND (:before IS NULL OR l.at < :before)
  AND (:since IS NULL OR l.at >= :since)
  AND (:product_id IS NULL OR orders.product_id = :product_id)
  AND (:order_id IS NULL OR l.order_id = :order_id)
  AND (:resolved IS NULL OR (l.resolved_at IS NOT NULL) = :resolved)
ORDER BY l.id LIMIT :limit
