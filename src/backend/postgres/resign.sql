-- Ends the lead $1, if worker $2 has it.
UPDATE fulfillment.leadership SET until = clock_timestamp() WHERE name = $1::text AND holder = $2::text
