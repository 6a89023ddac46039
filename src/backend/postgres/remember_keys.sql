-- Remembers the keys $1, and answers with those that were new. In order, as two submitters would else wait for each other.
INSERT INTO fulfillment.submissions (key) SELECT r.key FROM pg_catalog.unnest($1::text[]) AS r (key) ORDER BY r.key
ON CONFLICT (key) DO NOTHING
RETURNING key
