-- Orders below $2 whose timeline has correlation id $1, among the newest $3 transitions by order; how many of these there were,
-- and the lowest order among them. An id is also found by the 256 characters that are kept of a longer one.
--
-- Reads the timeline backwards by its key, and no more than $3 rows of it. Changes nothing and waits for nobody.
WITH page AS MATERIALIZED (
    SELECT order_id, correlation_id
    FROM fulfillment.events
    WHERE order_id < $2::int8
    ORDER BY order_id DESC, at DESC
    LIMIT $3::int8
)
SELECT (
           SELECT coalesce(array_agg(DISTINCT order_id ORDER BY order_id DESC), '{}')
           FROM page
           WHERE correlation_id IN ($1::text, left($1::text, 256))
       )                                   AS order_ids,
       (SELECT count(*) FROM page)         AS entries,
       (SELECT min(order_id) FROM page)    AS lowest
