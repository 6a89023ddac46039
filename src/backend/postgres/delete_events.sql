-- Deletes the timelines that ended before $3, among the $2 entries that follow order $1, while worker $4 has the lead $5.
--
-- Guarantees: one statement; timelines are deleted whole, so the last one's entries beyond the page count as well; none of an
-- open order, nor of one with a dead letter that nobody has decided about. What an operator redrives meanwhile keeps what is
-- written from then on: as if it had come after the deletion. No row of `orders` is locked.
--
-- Reads the page by the primary key, from the index alone where Postgres has vacuumed, and asks about orders by their keys, in
-- subqueries that can't become a scan of the table, as EXISTS could.
WITH page AS MATERIALIZED (
    SELECT e.order_id, e.at
    FROM fulfillment.events e
    WHERE e.order_id > $1::int8
    ORDER BY e.order_id, e.at
    LIMIT $2::int8
),
last AS MATERIALIZED (
    SELECT max(p.order_id) AS order_id, count(*) AS entries FROM page p
),
ended AS MATERIALIZED (
    SELECT t.order_id
    FROM (SELECT p.order_id, max(p.at) AS at FROM page p GROUP BY p.order_id) AS t
    WHERE t.at < $3::timestamp
      AND CASE
              WHEN t.order_id = (SELECT l.order_id FROM last l)
              THEN (SELECT max(e.at) FROM fulfillment.events e WHERE e.order_id = t.order_id) < $3::timestamp
              ELSE true
          END
),
doomed AS MATERIALIZED (
    SELECT d.order_id
    FROM ended d
    WHERE (
              SELECT true FROM fulfillment.leadership l
              WHERE l.name = $5::text AND l.holder = $4::text AND l.until > clock_timestamp()
          )
      AND (
              SELECT CASE WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN true END
              FROM {orders} o
              WHERE o.id {=} d.order_id
          ) IS NULL
      AND (
              SELECT true FROM fulfillment.dead_letters l
              WHERE l.order_id = d.order_id AND l.resolved_at IS NULL
              LIMIT 1
          ) IS NULL
),
deleted AS (
    DELETE FROM fulfillment.events e
    WHERE e.order_id = ANY (ARRAY(SELECT d.order_id FROM doomed d))
    RETURNING e.order_id
)
SELECT l.order_id                                  AS last_order_id,
       l.entries                                   AS entries,
       EXISTS (SELECT FROM ended)                  AS any_ended,
       (SELECT count(*) FROM deleted)              AS deleted
FROM last l
