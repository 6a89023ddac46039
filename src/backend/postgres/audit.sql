-- Judges at most $2 orders with ids above $1: how many there are of each status and finding, the last of them, and the
-- ids of those that somebody has to look at.
--
-- One snapshot: a transition, its entry in the timeline and its dead letter are one commit, and seen together.
WITH page AS MATERIALIZED (
    SELECT id, status FROM {orders} WHERE id {>} $1::int8 ORDER BY id LIMIT $2::int8
),
judged AS (
    SELECT p.id::int8                       AS order_id,
           coalesce(p.status::text, 'null') AS status,
           CASE
               WHEN p.status {=} ANY (ARRAY['pending', 'processing']::{status}[]) THEN 'open'
               WHEN p.status {=} 'failed' THEN
                   CASE WHEN EXISTS (SELECT FROM fulfillment.dead_letters d WHERE d.order_id {=} p.id)
                        THEN 'sound' ELSE 'no_dead_letter' END
               WHEN p.status {=} 'fulfilled' THEN (
                   SELECT CASE
                              WHEN count(*) = 0 THEN 'no_timeline'
                              WHEN count(*) FILTER (WHERE e.state = 'fulfilled') = 1 THEN 'sound'
                              ELSE 'not_once'
                          END
                   FROM fulfillment.events e
                   WHERE e.order_id {=} p.id
               )
               ELSE 'sound'
           END AS finding
    FROM page p
)
SELECT status,
       finding,
       count(*)      AS orders,
       max(order_id) AS last,
       array_agg(order_id ORDER BY order_id) FILTER (WHERE finding NOT IN ('sound', 'no_timeline')) AS order_ids
FROM judged
GROUP BY status, finding
ORDER BY status, finding
