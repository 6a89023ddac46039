-- The roles of a database with orders: who makes the worker's tables, who works, and who places orders. Each may do what it does
-- and nothing else; tests take away every single one of these grants, and something fails.
--
-- An administrator runs this in the order API's database, once, and again if the tables of an installation without these roles
-- are to be handed over: psql --single-transaction --set ON_ERROR_STOP=1 --file roles.sql. The passwords are set apart (\password).
-- Then, as fulfillment_migrator and after each upgrade:
--     fulfillment-worker migrate --grant-to fulfillment_worker
-- and as fulfillment_worker: fulfillment-worker run --migrate off
-- Tables in another schema than `public`: name it in the search path of the three roles, and grant USAGE on it.

DO $$
DECLARE
    role text;
    made text;
    joins boolean;
BEGIN
    FOREACH role IN ARRAY ARRAY['fulfillment_migrator', 'fulfillment_worker', 'fulfillment_producer'] LOOP
        IF pg_catalog.to_regrole(role) IS NULL THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I LOGIN NOINHERIT', role);
        END IF;
    END LOOP;
    IF pg_catalog.to_regnamespace('fulfillment') IS NULL THEN
        CREATE SCHEMA fulfillment;
    END IF;
    -- An administrator who is no superuser, as on a managed server, hands over only to a role that they are a member of.
    joins := NOT pg_catalog.pg_has_role('fulfillment_migrator', 'USAGE');
    IF joins THEN
        GRANT fulfillment_migrator TO CURRENT_USER;
    END IF;
    -- What the migrator alters has to be its own.
    ALTER SCHEMA fulfillment OWNER TO fulfillment_migrator;
    FOR made IN SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = 'fulfillment'::regnamespace AND relkind IN ('r', 'v')
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE fulfillment.%I OWNER TO fulfillment_migrator', made);
    END LOOP;
    IF joins THEN
        REVOKE fulfillment_migrator FROM CURRENT_USER;
    END IF;
END $$;

-- The worker moves orders, and reads the names of products.
GRANT SELECT (id, product_id, quantity, status, created_at, updated_at), UPDATE (status, updated_at)
    ON orders TO fulfillment_worker;
GRANT SELECT (id, name) ON products TO fulfillment_worker;

-- The order API, and `submit`, place orders.
GRANT SELECT (id, name), INSERT (name, price) ON products TO fulfillment_producer;
GRANT SELECT (id, product_id, quantity), INSERT (product_id, quantity, status) ON orders TO fulfillment_producer;
GRANT USAGE ON SEQUENCE products_id_seq, orders_id_seq TO fulfillment_producer;
