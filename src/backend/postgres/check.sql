-- Names everything that `run` needs and this role can't find or may not use, one row each.
--
-- Reads the catalogue only, so that it answers for any role. $1 and $2 name `orders` and `products` in full, as every
-- statement does. $3 says whether an index leads to open orders: then nothing is asked of the low-water mark.
WITH own AS (
    SELECT c.oid, c.relname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid {=} c.relnamespace
    WHERE n.nspname {=} 'fulfillment'
),
needed (relation, oid, relation_columns, privilege) AS (
    VALUES
        ('orders', to_regclass($1::text)::oid, '{id,product_id,quantity,status,created_at,updated_at}'::text[], 'SELECT'),
        ('orders', to_regclass($1::text)::oid, '{status,updated_at}', 'UPDATE'),
        ('products', to_regclass($2::text)::oid, '{id,name}', 'SELECT'),
        ('fulfillment.events', (SELECT oid FROM own WHERE relname {=} 'events'),
            '{order_id,at,state,attempt,worker,correlation_id,note}', 'INSERT'),
        ('fulfillment.events', (SELECT oid FROM own WHERE relname {=} 'events'),
            '{order_id,at,state,attempt,correlation_id}', 'SELECT'),
        ('fulfillment.dead_letters', (SELECT oid FROM own WHERE relname {=} 'dead_letters'), '{reason,resolved_at}', 'SELECT'),
        ('fulfillment.dead_letters', (SELECT oid FROM own WHERE relname {=} 'dead_letters'),
            '{claim_id,order_id,payload,reason,detail,attempts,worker,at}', 'INSERT'),
        ('fulfillment.dead_letters', (SELECT oid FROM own WHERE relname {=} 'dead_letters'),
            '{id,resolved_at,resolution,resolved_by,resolved_reason}', NULL),
        ('fulfillment.leadership', (SELECT oid FROM own WHERE relname {=} 'leadership'), '{name,holder,until}', 'SELECT'),
        ('fulfillment.leadership', (SELECT oid FROM own WHERE relname {=} 'leadership'), '{name,holder,until}', 'INSERT'),
        ('fulfillment.leadership', (SELECT oid FROM own WHERE relname {=} 'leadership'), '{holder,until}', 'UPDATE'),
        ('fulfillment.clocks', (SELECT oid FROM own WHERE relname {=} 'clocks'), '{zone,noted_at,behind_at}', 'SELECT'),
        ('fulfillment.clocks', (SELECT oid FROM own WHERE relname {=} 'clocks'), '{zone,noted_at,behind_at}', 'INSERT'),
        ('fulfillment.clocks', (SELECT oid FROM own WHERE relname {=} 'clocks'), '{noted_at,behind_at}', 'UPDATE'),
        ('fulfillment.observed_fences', (SELECT oid FROM own WHERE relname {=} 'observed_fences'),
            '{order_id,fence,first_seen}', 'SELECT'),
        ('fulfillment.observed_fences', (SELECT oid FROM own WHERE relname {=} 'observed_fences'),
            '{order_id,fence,first_seen}', 'INSERT'),
        ('fulfillment.observed_fences', (SELECT oid FROM own WHERE relname {=} 'observed_fences'),
            '{fence,first_seen}', 'UPDATE'),
        ('fulfillment.horizon', (SELECT oid FROM own WHERE relname {=} 'horizon'), '{adopt_from,last_order_id}', 'SELECT'),
        ('fulfillment.horizon', (SELECT oid FROM own WHERE relname {=} 'horizon'), '{adopt_from,last_order_id}', 'INSERT'),
        ('fulfillment.begun_orders', (SELECT oid FROM own WHERE relname {=} 'begun_orders'), '{order_id}', 'SELECT'),
        ('fulfillment.begun_orders', (SELECT oid FROM own WHERE relname {=} 'begun_orders'), '{order_id}', 'INSERT'),
        ('fulfillment.controls', (SELECT oid FROM own WHERE relname {=} 'controls'),
            '{control,target,value,set_by,why,since,expires_at}', 'SELECT'),
        ('fulfillment.workers', (SELECT oid FROM own WHERE relname {=} 'workers'),
            '{worker,seen_at,in_flight,row_leases,concurrency,holds_claims}', 'SELECT'),
        ('fulfillment.workers', (SELECT oid FROM own WHERE relname {=} 'workers'),
            '{worker,host,pid,version,started_at,seen_at,lease_seconds,in_flight,row_leases,concurrency,holds_claims}', 'INSERT'),
        ('fulfillment.workers', (SELECT oid FROM own WHERE relname {=} 'workers'),
            '{seen_at,in_flight,row_leases,concurrency,holds_claims}', 'UPDATE'),
        ('fulfillment.holds', (SELECT oid FROM own WHERE relname {=} 'holds'), '{order_id,until,not_before}', 'SELECT'),
        ('fulfillment.holds', (SELECT oid FROM own WHERE relname {=} 'holds'),
            '{order_id,until,held_by,why,at,not_before}', 'INSERT'),
        ('fulfillment.holds', (SELECT oid FROM own WHERE relname {=} 'holds'), '{until,not_before}', 'UPDATE'),
        ('fulfillment.jobs', (SELECT oid FROM own WHERE relname {=} 'jobs'),
            '{id,kind,selection,by,why,up_to,matching,rate,at,cursor,page,done,skipped,refused,problem,holder,lease_until,outcome,ended_at}',
            'SELECT'),
        ('fulfillment.jobs', (SELECT oid FROM own WHERE relname {=} 'jobs'),
            '{cursor,page,done,skipped,refused,problem,holder,lease_until,outcome,ended_at}', 'UPDATE'),
        ('fulfillment.trends', (SELECT oid FROM own WHERE relname {=} 'trends'), '{worker,seq,minute,seconds,counts}', 'SELECT'),
        ('fulfillment.trends', (SELECT oid FROM own WHERE relname {=} 'trends'), '{worker,seq,minute,seconds,counts}', 'INSERT'),
        ('fulfillment.trends', (SELECT oid FROM own WHERE relname {=} 'trends'), '{seconds,counts}', 'UPDATE'),
        ('fulfillment.arrivals', (SELECT oid FROM own WHERE relname {=} 'arrivals'), '{minute,orders}', 'SELECT'),
        ('fulfillment.arrivals', (SELECT oid FROM own WHERE relname {=} 'arrivals'), '{minute,orders}', 'INSERT'),
        ('fulfillment.arrivals', (SELECT oid FROM own WHERE relname {=} 'arrivals'), '{orders}', 'UPDATE'),
        ('fulfillment.arrivals_mark', (SELECT oid FROM own WHERE relname {=} 'arrivals_mark'),
            '{counted_to,counted_at,seen,seen_at,seen_xid}', 'SELECT'),
        ('fulfillment.arrivals_mark', (SELECT oid FROM own WHERE relname {=} 'arrivals_mark'),
            '{counted_to,counted_at,seen,seen_at,seen_xid}', 'UPDATE')
    UNION ALL
    SELECT of_mark.*
    FROM (
        VALUES
            ('fulfillment.low_water_mark', (SELECT oid FROM own WHERE relname {=} 'low_water_mark'),
                '{closed_up_to,swept_up_to,settling_id,settling_xid,settling_from}'::text[], 'SELECT'),
            ('fulfillment.low_water_mark', (SELECT oid FROM own WHERE relname {=} 'low_water_mark'),
                '{closed_up_to,swept_up_to,settling_id,settling_xid,settling_from}', 'UPDATE'),
            ('fulfillment.stragglers', (SELECT oid FROM own WHERE relname {=} 'stragglers'), '{order_id,noted_at}', 'SELECT'),
            ('fulfillment.stragglers', (SELECT oid FROM own WHERE relname {=} 'stragglers'), '{order_id,noted_at}', 'INSERT'),
            ('fulfillment.stragglers', (SELECT oid FROM own WHERE relname {=} 'stragglers'), '{noted_at}', 'UPDATE')
    ) AS of_mark
    WHERE NOT $3::bool
),
needed_columns AS (
    SELECT n.relation, n.oid, n.privilege, a.attnum, wanted.name, wanted.place
    FROM needed n
    CROSS JOIN pg_catalog.unnest(n.relation_columns) WITH ORDINALITY AS wanted (name, place)
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid {=} n.oid AND a.attname {=} wanted.name AND NOT a.attisdropped
    WHERE n.oid IS NOT NULL
)
SELECT DISTINCT 1 AS rank, 'table ' || relation AS missing FROM needed WHERE oid IS NULL
UNION
SELECT 2, 'column ' || relation || '.' || name FROM needed_columns WHERE attnum IS NULL
UNION
SELECT 3, 'privilege USAGE on schema fulfillment'
FROM pg_catalog.pg_namespace n
WHERE n.nspname {=} 'fulfillment' AND NOT has_schema_privilege(n.oid, 'USAGE')
UNION
SELECT 4, format('privilege DELETE on fulfillment.%s', relname)
FROM own
WHERE (relname {=} ANY (ARRAY['observed_fences', 'workers', 'controls', 'holds', 'trends', 'arrivals']) OR (relname {=} 'stragglers' AND NOT $3::bool)) AND NOT has_table_privilege(oid, 'DELETE')
UNION
SELECT 4, format('privilege %s (%s) on %s', privilege, string_agg(name, ', ' ORDER BY place), relation)
FROM needed_columns
WHERE attnum IS NOT NULL AND privilege IS NOT NULL AND NOT has_column_privilege(oid, attnum, privilege)
GROUP BY privilege, relation
ORDER BY rank, missing
