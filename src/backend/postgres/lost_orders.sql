-- Orders that may have lost their message, in order of id.
--
-- $1 the newest `created_at` that was claimed, null if nothing waits to be claimed; $2 whether `pending` orders are looked
-- for; $3 grace, $4 lease, $5 greatest age, in seconds; $6 only ids above this; $7 at most so many.
--
-- Reads open orders alone, by the index on status: what is done is not looked at, however much it is. Materialized, as
-- the planner would else walk the primary key in the hope of finding enough soon. No row is locked, so that the
-- statement's own time is as good as any. With each order comes what the timeline says of it, by its primary key: the last
-- step, and the newest correlation id; nulls where there is no timeline. Orders older than the horizon are left out, unless
-- they were begun here.
WITH open AS MATERIALIZED (
    SELECT o.id, o.product_id, o.quantity, o.status, o.created_at, o.updated_at
    FROM orders o
    WHERE o.status = 'pending'
      AND $2::bool
      AND (
          o.created_at < least($1::timestamp, statement_timestamp()::timestamp) - $3::float8 * interval '1 second'
          OR (o.created_at IS NULL AND $1::timestamp IS NULL)
      )
      AND (
          o.updated_at IS NULL
          OR o.updated_at < statement_timestamp()::timestamp - $3::float8 * interval '1 second'
      )
    UNION ALL
    SELECT o.id, o.product_id, o.quantity, o.status, o.created_at, o.updated_at
    FROM orders o
    WHERE o.status = 'processing'
      AND (
          o.updated_at IS NULL
          OR o.updated_at < statement_timestamp()::timestamp - ($3::float8 + $4::float8) * interval '1 second'
      )
),
page AS MATERIALIZED (
    SELECT id, product_id, quantity, status, updated_at
    FROM open
    LEFT JOIN fulfillment.horizon h ON true
    WHERE id > $6::int8
      AND (
          (id <= h.last_order_id AND (coalesce(created_at, updated_at)::timestamptz < h.adopt_from) IS NOT FALSE) IS NOT TRUE
          OR EXISTS (SELECT FROM fulfillment.begun_orders b WHERE b.order_id = open.id)
      )
      AND (
          coalesce(updated_at, created_at) < statement_timestamp()::timestamp - $5::float8 * interval '1 second'
      ) IS NOT TRUE
    ORDER BY id
    LIMIT $7::int8
)
SELECT p.id::int8         AS order_id,
       p.product_id::int8 AS product_id,
       p.quantity::int8   AS quantity,
       p.status::text     AS status,
       p.updated_at       AS updated_at,
       last.state         AS last_state,
       last.attempt       AS last_attempt,
       (
           SELECT e.correlation_id
           FROM fulfillment.events e
           WHERE e.order_id = p.id AND e.correlation_id IS NOT NULL
           ORDER BY e.at DESC
           LIMIT 1
       )                  AS correlation_id
FROM page p
LEFT JOIN LATERAL (
    SELECT e.state, e.attempt
    FROM fulfillment.events e
    WHERE e.order_id = p.id
    ORDER BY e.at DESC
    LIMIT 1
) AS last ON true
ORDER BY p.id
