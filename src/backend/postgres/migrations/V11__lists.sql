-- What leads to the newest entries of the timeline, and to those with a correlation id.
-- Every statement may be run again. Workers of the version before go on working while and after this is applied.

-- Both say of each 32 pages what may be there. An entry at the end of the table writes nothing into them: autovacuum adds those
-- pages later. So they cost an order next to nothing, where an index on each entry would cost it 70 to 240 bytes of log.
--
-- Making them reads the whole table and keeps workers from writing to it. Where that is larger than 64 MiB they are left
-- out, `tail` and the search for a correlation id say so, and an administrator makes them beside the workers:
-- `CREATE INDEX CONCURRENTLY`, as here. Before version 14, Postgres has no such index on texts.
DO $$ BEGIN
    IF pg_catalog.pg_relation_size('fulfillment.events') <= 67108864 THEN
        CREATE INDEX IF NOT EXISTS events_at ON fulfillment.events
            USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
        IF pg_catalog.current_setting('server_version_num')::int >= 140000 THEN
            CREATE INDEX IF NOT EXISTS events_correlation_id ON fulfillment.events
                USING brin (correlation_id text_bloom_ops (n_distinct_per_range = 2000))
                WITH (pages_per_range = 32, autosummarize = on);
        END IF;
    END IF;
END $$;
