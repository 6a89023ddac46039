-- Moves it to $1, unless it lies there or orders of every age are taken in.
UPDATE fulfillment.horizon SET adopt_from = $1::timestamptz, noted_at = clock_timestamp()
WHERE adopt_from <> $1::timestamptz AND adopt_from <> '-infinity'
RETURNING true
