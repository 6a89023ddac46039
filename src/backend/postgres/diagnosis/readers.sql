-- Statements that look for a status of orders and are none of the worker's, the most frequent ones, five at most; with each, how
-- many statements there are whose text this role may not see. A last row of nulls has that number where none was found.
--
-- `{statements}` is the view of the extension pg_stat_statements. Changes nothing.
WITH seen AS MATERIALIZED (
    SELECT s.userid, s.query, s.calls
    FROM {statements} s
    JOIN pg_catalog.pg_database d ON d.oid {=} s.dbid
    WHERE d.datname {=} current_database()
),
hidden AS (
    SELECT count(*) AS statements FROM seen s WHERE s.query {=} '<insufficient privilege>'
),
found AS (
    SELECT pg_get_userbyid(s.userid)::text AS role, left(regexp_replace(s.query, '\s+', ' ', 'g'), 160) AS statement, s.calls
    FROM seen s
    WHERE s.query OPERATOR(pg_catalog.~*) '\morders\M'
      AND s.query OPERATOR(pg_catalog.~*) '\m(where|and|or|by)\M.*\mstatus\M'
      AND NOT s.query {like} '%OPERATOR(pg\_catalog.%'
    ORDER BY s.calls DESC
    LIMIT 5
)
SELECT f.role AS role, f.statement AS statement, f.calls AS calls, h.statements AS hidden
FROM hidden h
LEFT JOIN found f ON true
