-- Orders that may have lost their message, in order of id.
--
-- $1 the newest `created_at` that was claimed, null if nothing waits to be claimed; $2 whether `pending` orders are looked
-- for; $3 grace, $4 lease, $5 greatest age, in seconds; $6 only ids above this; $7 at most so many.
--
-- Reads open orders alone, by the index on status, or where there is none, from the low-water mark on: what is done is not
-- looked at, however much it is. Materialized, as
-- the planner would else walk the primary key in the hope of finding enough soon. No row is locked, so that the
-- statement's own time is as good as any. Where an order's times don't tell how long it was left alone, it is noted since
-- when it has been seen as it is, as in `take_over.sql`; notes that nobody has needed for long are removed. With each order
-- comes what the timeline says of it, by its primary key: the last step, and the newest correlation id; nulls where there is
-- no timeline. Orders older than the horizon are left out, unless they were begun here; so are those that are held. The end of
-- a hold counts as if it had touched its order. Holds are removed that are over and whose orders have moved since, or are done.
WITH {clock},
open AS MATERIALIZED (
    SELECT o.id, o.product_id, o.quantity, o.status, o.created_at, o.updated_at, u.unclear, $3::float8 AS quiet
    FROM {open} o
    CROSS JOIN LATERAL (
        SELECT coalesce(
            greatest(o.created_at::timestamptz, o.updated_at::timestamptz) > statement_timestamp() AND o.updated_at IS NOT NULL,
            false
        ) AS unclear
    ) AS u
    WHERE o.status {=} 'pending'
      AND $2::bool
      AND CASE
              WHEN o.created_at IS NULL THEN $1::{created} IS NULL
              WHEN u.unclear THEN ($1::{created} IS NULL OR o.created_at {<} $1::{created} - $3::float8 * interval '1 second')
              ELSE o.created_at::timestamptz
                   < least($1::{created}::timestamptz, statement_timestamp()) - $3::float8 * interval '1 second'
          END
      AND (
          u.unclear
          OR o.updated_at IS NULL
          OR o.updated_at::timestamptz < statement_timestamp() - $3::float8 * interval '1 second'
      )
    UNION ALL
    SELECT o.id, o.product_id, o.quantity, o.status, o.created_at, o.updated_at, u.unclear, $3::float8 + $4::float8
    FROM {open} o
    CROSS JOIN clock k
    CROSS JOIN LATERAL (
        SELECT coalesce(k.doubted OR o.updated_at::timestamptz > statement_timestamp(), false) AND o.updated_at IS NOT NULL
            AS unclear
    ) AS u
    WHERE o.status {=} 'processing'
      AND (
          u.unclear
          OR o.updated_at IS NULL
          OR o.updated_at::timestamptz < statement_timestamp() - ($3::float8 + $4::float8) * interval '1 second'
      )
),
observed AS (
    INSERT INTO fulfillment.observed_fences AS s (order_id, fence, first_seen)
    SELECT o.id, (o.updated_at{utc}), clock_timestamp()
    FROM open o
    WHERE o.unclear AND o.id {>} $6::int8
    ORDER BY o.id
    LIMIT $7::int8
    ON CONFLICT (order_id) DO UPDATE SET fence = excluded.fence, first_seen = excluded.first_seen
    WHERE s.fence <> excluded.fence
),
forgotten AS (
    DELETE FROM fulfillment.observed_fences
    WHERE first_seen < clock_timestamp() - interval '1 day' - 2::float8 * ($3::float8 + $4::float8) * interval '1 second'
),
unheld AS (
    DELETE FROM fulfillment.holds h
    WHERE (
              SELECT o.status::text {=} ANY (ARRAY['pending', 'processing', 'failed'])
                 AND (
                     h.until < least(o.updated_at::timestamptz, statement_timestamp())
                     AND (h.not_before < statement_timestamp()) IS NOT FALSE
                 ) IS NOT TRUE
              FROM {orders} o
              WHERE o.id {=} h.order_id
          ) IS NOT TRUE
),
page AS MATERIALIZED (
    SELECT o.id, o.product_id, o.quantity, o.status, o.updated_at
    FROM open o
    LEFT JOIN fulfillment.horizon h ON true
    LEFT JOIN fulfillment.observed_fences s ON s.order_id {=} o.id AND s.fence {=} (o.updated_at{utc})
    WHERE o.id {>} $6::int8
      AND (NOT o.unclear OR s.first_seen < statement_timestamp() - o.quiet * interval '1 second')
      AND (
          (
              o.id {<=} h.last_order_id
              AND (
                  (coalesce(o.created_at::timestamptz, o.updated_at::timestamptz) < h.adopt_from) IS NOT FALSE
                  OR o.created_at::timestamptz > statement_timestamp() + interval '1 day'
              )
          ) IS NOT TRUE
          OR EXISTS (SELECT FROM fulfillment.begun_orders b WHERE b.order_id {=} o.id)
      )
      AND (
          coalesce(o.updated_at::timestamptz, o.created_at::timestamptz)
          < statement_timestamp() - $5::float8 * interval '1 second'
          AND NOT EXISTS (
              SELECT
              FROM fulfillment.holds h
              WHERE h.order_id = o.id::int8 AND h.until > statement_timestamp() - $5::float8 * interval '1 second'
          )
      ) IS NOT TRUE
      AND {held} IS NULL
    ORDER BY o.id
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
           WHERE e.order_id {=} p.id AND e.correlation_id IS NOT NULL
           ORDER BY e.at DESC
           LIMIT 1
       )                  AS correlation_id
FROM page p
LEFT JOIN LATERAL (
    SELECT e.state, e.attempt
    FROM fulfillment.events e
    WHERE e.order_id {=} p.id
    ORDER BY e.at DESC
    LIMIT 1
) AS last ON true
ORDER BY p.id
