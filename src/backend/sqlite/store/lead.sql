-- Takes or keeps the lead :name for worker :holder until :until. No row is changed if another one has it at :now.
INSERT INTO fulfillment_leadership (name, holder, until) VALUES (:name, :holder, :until)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE fulfillment_leadership.holder = excluded.holder OR fulfillment_leadership.until < :now;
