-- Orders with ids above :counted_to, at most :most of them in order of id: how many in which minute, and the highest id of each. An order
-- without a plausible `created_at` counts as placed at :since or :now, whichever is nearer.
SELECT max(min(coalesce(created_at, :now), :now), :since) / 60000000 AS minute, count(*), max(id)
FROM (SELECT id, created_at FROM orders WHERE id > :counted_to ORDER BY id LIMIT :most)
GROUP BY minute
