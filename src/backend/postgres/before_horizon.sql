-- Number of open orders that are older than the horizon and were never begun here, and where it lies.
--
-- CASE instead of the bare comparison keeps the planner from reading every id up to the horizon in the primary key.
SELECT count(o.id) AS orders,
       min(nullif(h.adopt_from, '-infinity')) AS adopt_from
FROM fulfillment.horizon h
LEFT JOIN {open} o
    ON o.status {=} ANY (ARRAY['pending', 'processing']::{status}[])
   AND CASE WHEN o.id {<=} h.last_order_id THEN true ELSE false END
   AND (
       (coalesce(o.created_at, o.updated_at)::timestamptz < h.adopt_from) IS NOT FALSE
       OR o.created_at::timestamptz > statement_timestamp() + interval '1 day'
   )
   AND NOT EXISTS (SELECT FROM fulfillment.begun_orders b WHERE b.order_id {=} o.id)
