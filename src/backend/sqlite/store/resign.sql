-- Ends the lead :name, if worker :holder has it.
UPDATE fulfillment_leadership SET until = 0 WHERE name = :name AND holder = :holder;
