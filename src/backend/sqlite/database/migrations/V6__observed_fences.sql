-- Fences that lie in the future, as the clock was put back, and since when each has been seen.
CREATE TABLE fulfillment_observed_fences (
    order_id INTEGER PRIMARY KEY,
    fence INTEGER NOT NULL,
    first_seen INTEGER NOT NULL
) STRICT;
