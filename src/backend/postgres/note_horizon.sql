-- Notes the horizon $1 (null: orders of every age are taken in) with the greatest id $2, unless there is one.
INSERT INTO fulfillment.horizon (adopt_from, last_order_id)
VALUES (coalesce($1::timestamptz, '-infinity'), $2::int8)
ON CONFLICT DO NOTHING
RETURNING true
