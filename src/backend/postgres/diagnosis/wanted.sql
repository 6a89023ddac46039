-- `orders`, $1 its name in full, and its partitions: the beginning of statements that ask about all of them.
orders AS MATERIALIZED (
    SELECT to_regclass($1)::oid AS oid
),
wanted AS MATERIALIZED (
    SELECT o.oid FROM orders o
    UNION
    SELECT p.relid::oid FROM orders o CROSS JOIN LATERAL pg_partition_tree(o.oid) AS p WHERE p.isleaf
)
