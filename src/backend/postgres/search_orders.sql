-- Orders with an id below $1 and above $2 among at most $3 candidates, the one with the greatest id first, at most $8; and how
-- many candidates there were, with the lowest of them.
--
-- What of these isn't null must hold: $4 one of these statuses, $5 the product, $6 older than so many seconds, $7 not older
-- than so many seconds. Which candidates there are is written in the place of the piece. A null status is the foreign one
-- `null`. Changes nothing and waits for nobody.
WITH {clock},
candidates AS MATERIALIZED (
    SELECT o.id::int8                       AS id,
           coalesce(o.status::text, 'null') AS status,
           o.product_id::int8               AS product_id,
           o.quantity::int8                 AS quantity,
           o.created_at                     AS created_at,
           o.updated_at                     AS updated_at
    FROM {candidates}
    LIMIT $3::int8
),
matching AS MATERIALIZED (
    SELECT c.*
    FROM candidates c
    WHERE c.id < $1::int8
      AND c.id > $2::int8
      AND ($4::text[] IS NULL OR c.status = ANY ($4::text[]))
      AND ($5::int8 IS NULL OR c.product_id = $5::int8)
      AND ($6::float8 IS NULL OR c.created_at::timestamptz < clock_timestamp() - $6::float8 * interval '1 second')
      AND ($7::float8 IS NULL OR c.created_at::timestamptz >= clock_timestamp() - $7::float8 * interval '1 second')
    ORDER BY c.id DESC
    LIMIT $8::int8
)
SELECT s.looked                                                            AS looked,
       s.lowest                                                            AS lowest,
       m.id                                                                AS id,
       m.status                                                            AS status,
       m.product_id                                                        AS product_id,
       (SELECT p.name::text FROM {products} p WHERE p.id {=} m.product_id) AS product,
       m.quantity                                                          AS quantity,
       m.created_at                                                        AS created_at,
       m.updated_at                                                        AS updated_at,
       CASE WHEN NOT k.zones_disagree THEN {age m.created_at} END          AS age,
       CASE WHEN NOT k.doubted THEN {age m.updated_at} END                 AS idle
FROM (SELECT count(*) AS looked, min(c.id) AS lowest FROM candidates c) AS s
CROSS JOIN clock k
LEFT JOIN matching m ON true
ORDER BY m.id DESC
