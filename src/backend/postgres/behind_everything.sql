-- Where everything that is there now ends: the newest time of an open order, or now if that is later; and the greatest id.
-- A time from tomorrow on is an error in the row, and no zone of a producer: of such an order the id alone decides.
SELECT greatest(
           clock_timestamp(),
           (
               SELECT max(coalesce(created_at, updated_at)::timestamptz) + interval '1 microsecond'
               FROM {orders}
               WHERE status {=} ANY (ARRAY['pending', 'processing']::{status}[])
                 AND coalesce(created_at, updated_at)::timestamptz < clock_timestamp() + interval '1 day'
           )
       )                                    AS adopt_from,
       (SELECT max(id)::int8 FROM {orders})   AS last_order_id
