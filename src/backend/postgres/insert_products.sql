-- Makes the products that are missing.
--
-- $1 names, $2 prices in hundredths, by position; each name once. In order of name, so that two submitters at once wait
-- for each other and never deadlock. A product that exists keeps its price.
INSERT INTO {products} (name, price)
SELECT p.name, p.price_cents::numeric / 100::numeric
FROM unnest($1::text[], $2::int8[]) AS p (name, price_cents)
ORDER BY p.name COLLATE pg_catalog."C"
ON CONFLICT (name) DO NOTHING
