-- Dead letters in order of id, with what their orders' rows say now, and how old each is.
--
-- $1 ids above this, $2 at most so many (null: all). What of these isn't null must hold: $3 one of these ids, $4 ids up to
-- this, $5 one of these reasons, $6 older than so many seconds, $7 not older than so many seconds, $8 the order's row has
-- this product, $9 the order, $10 whether it is resolved.
SELECT l.id                         AS id,
       l.order_id                   AS order_id,
       o.id IS NOT NULL             AS has_row,
       o.status::text               AS order_status,
       l.payload                    AS payload,
       l.reason                     AS reason,
       l.detail                     AS detail,
       l.attempts                   AS attempts,
       l.worker                     AS worker,
       l.at                         AS at,
       l.resolved_at                AS resolved_at,
       l.resolution                 AS resolution,
       l.resolved_by                AS resolved_by,
       l.resolved_reason            AS resolved_reason,
       greatest(extract(epoch FROM clock_timestamp() - (l.at{zoned})), 0)::float8 AS age
FROM fulfillment.dead_letters l
LEFT JOIN {orders} o ON o.id {=} l.order_id
WHERE l.id > $1::int8
  AND ($3::int8[] IS NULL OR l.id = ANY ($3::int8[]))
  AND ($4::int8 IS NULL OR l.id <= $4::int8)
  AND ($5::text[] IS NULL OR l.reason = ANY ($5::text[]))
  AND ($6::float8 IS NULL OR (l.at{zoned}) < clock_timestamp() - $6::float8 * interval '1 second')
  AND ($7::float8 IS NULL OR (l.at{zoned}) >= clock_timestamp() - $7::float8 * interval '1 second')
  AND ($8::int8 IS NULL OR o.product_id {=} $8::int8)
  AND ($9::int8 IS NULL OR l.order_id = $9::int8)
  AND ($10::bool IS NULL OR (l.resolved_at IS NOT NULL) = $10::bool)
ORDER BY l.id
LIMIT $2::int8
