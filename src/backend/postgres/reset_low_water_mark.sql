-- Puts the low-water mark back below every order: an index leads to open orders now, and nothing is noted of those that open again.
WITH lowered AS (
    UPDATE fulfillment.low_water_mark
    SET closed_up_to = '-9223372036854775808'::int8,
        swept_up_to = '-9223372036854775808'::int8,
        settling_id = NULL,
        settling_xid = NULL,
        settling_from = '-infinity'
    WHERE settling_from > '-infinity'
    RETURNING true
)
DELETE FROM fulfillment.stragglers WHERE EXISTS (SELECT FROM lowered)
