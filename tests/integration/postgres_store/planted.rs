//! Names that somebody has planted, beside those of the conformance suite (`conformance::store::planted`).

use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{OrderStore, StoreError};
use tokio_postgres::Client;

use crate::postgres_store::deciding::decides;
use crate::postgres_store::other_tables::{ENUM, works};
use crate::postgres_store::{LEASE, begin, fulfilled, open, put};
use crate::support::planted::{database, plant};
use crate::support::postgres::TestDatabase;

/// As [`plant`], in a schema that a role's own path has before the others; with the URL of the role, a superuser so that any
/// table will do.
async fn planted(database: &TestDatabase, client: &Client, types: &str) -> String {
    let name: String = client.query_one("SELECT current_database() || '_planted'", &[]).await.unwrap().get(0);
    plant(client, &name, types).await;
    client.batch_execute(&format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN SUPERUSER")).await.unwrap();
    let mut url: url::Url = database.url().parse().unwrap();
    url.set_username(&name).unwrap();
    url.into()
}

/// Whatever types the order API's columns have, their operators are Postgres' own.
///
/// Caught, when seeded: statements whose names and operators are left to the path.
#[tokio::test]
async fn no_planted_operator_or_function_runs_with_any_kind_of_table() {
    let cases = [
        (ENUM, "order_status"),
        ("ALTER TABLE orders ALTER id TYPE numeric(12, 0), ALTER product_id TYPE bigint, ALTER quantity TYPE numeric(12, 0)", ""),
        ("ALTER TABLE orders ALTER status TYPE char(12)", ""),
        ("ALTER TABLE orders ALTER updated_at TYPE timestamptz(3), ALTER created_at TYPE timestamptz", ""),
        (
            "CREATE DOMAIN key AS int; CREATE DOMAIN moment AS timestamp; CREATE DOMAIN state AS varchar(20);
             ALTER TABLE orders ALTER id TYPE key, ALTER product_id TYPE key, ALTER quantity TYPE key, ALTER status TYPE state,
             ALTER created_at TYPE moment, ALTER updated_at TYPE moment",
            "key moment state",
        ),
        ("ALTER TABLE orders ALTER status TYPE text, ADD CHECK (status IN ('pending','processing','fulfilled','failed'))", ""),
    ];
    for (sql, types) in cases {
        let database = TestDatabase::create().await;
        let client = database.connect().await;
        client.batch_execute("INSERT INTO products (name, price) VALUES ('hand warmer', 1.85)").await.unwrap();
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let url = planted(&database, &client, types).await;
        let store = open(&url, LEASE, 2);
        works(&store, &client, sql).await;
        if !sql.contains("CHECK (status IN") {
            decides(&store, &client, sql).await;
        }
        drop(store);
        let role = url.split(['/', '@']).nth(2).expect("the role").to_owned();
        client.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await.unwrap();
    }
}

/// The schema of temporary objects is searched before all others, also for types.
#[tokio::test]
async fn temporary_tables_and_types_of_the_session_take_nobodys_place() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    client.batch_execute("INSERT INTO products (name, price) VALUES ('hand warmer', 1.85)").await.unwrap();
    let trigger = "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            CREATE TEMP TABLE IF NOT EXISTS orders (id text);
            CREATE TEMP TABLE IF NOT EXISTS products (id text);
            IF to_regtype('pg_temp.int8') IS NULL THEN
                CREATE DOMAIN pg_temp.text AS pg_catalog.bool; CREATE DOMAIN pg_temp.int8 AS pg_catalog.bool;
                CREATE DOMAIN pg_temp.float8 AS pg_catalog.bool; CREATE DOMAIN pg_temp.bool AS pg_catalog.date;
                CREATE DOMAIN pg_temp.timestamptz AS pg_catalog.bool; CREATE DOMAIN pg_temp.timestamp AS pg_catalog.bool;
                CREATE DOMAIN pg_temp.int4 AS pg_catalog.bool; CREATE DOMAIN pg_temp.oid AS pg_catalog.bool;
            END IF;
            RETURN NEW;
        END$$;
        CREATE TRIGGER leave BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION leave()";
    client.batch_execute(trigger).await.unwrap();
    // One connection, which has them from the first order on.
    let store = open(database.url(), LEASE, 1);
    store.migrate().await.unwrap();
    let first = put(&client, "status", "'pending'").await;
    begin(&store, first).await;
    works(&store, &client, "temporary objects").await;
}

/// So that a trigger of theirs goes on finding what it names without a schema.
#[tokio::test]
async fn the_order_apis_triggers_have_the_search_path_of_the_role() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let sql = "INSERT INTO products (name, price) VALUES ('hand warmer', 1.85);
        CREATE SCHEMA shop; CREATE TABLE shop.audit_log (order_id int, status varchar);
        CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN INSERT INTO audit_log VALUES (NEW.id, NEW.status); RETURN NEW; END$$;
        CREATE TRIGGER audit AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION audit();
        DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, shop', current_database()); END$$";
    client.batch_execute(sql).await.unwrap();
    let store = open(database.url(), LEASE, 1);
    store.migrate().await.unwrap();
    let order_id = put(&client, "status", "'pending'").await;
    let fulfillment_worker::port::store::Begun::Started { fence, .. } = begin(&store, order_id).await else {
        panic!("not started")
    };
    store.conclude(&[fulfilled(order_id, fence)]).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM shop.audit_log").await, 2);
}

/// There, whoever may create in `public` takes the place of any name.
#[tokio::test]
async fn a_search_path_with_another_schema_before_postgres_own_is_refused() {
    let database = TestDatabase::create().await;
    for (path, refused) in [("public, pg_catalog", true), ("pg_catalog, public", false), ("pg_temp, public", false)] {
        let mut url: url::Url = database.url().parse().unwrap();
        url.query_pairs_mut().append_pair("options", &format!("-csearch_path={}", path.replace(' ', "")));
        let url = url.as_str().replace('+', "%20");
        let migrated = open(&url, LEASE, 1).migrate().await;
        match migrated {
            Err(StoreError::Tables(problems)) if refused => {
                assert!(problems.len() == 1 && problems[0].contains("before pg_catalog"), "{problems:?}");
                open(&url, LEASE, 1).check().await.unwrap_err();
            }
            other => assert!(!refused && other.is_ok(), "{path}: {other:?}"),
        }
    }
}

/// The path leads to the tables once, at the start.
///
/// Caught, when seeded: `begin.sql` with `orders` in the place of `{orders}`.
#[tokio::test]
async fn a_table_that_is_put_before_the_given_one_in_the_path_is_not_worked_with() {
    let (database, url) = database().await;
    let client = database.connect().await;
    client.batch_execute("INSERT INTO products (name, price) VALUES ('hand warmer', 1.85)").await.unwrap();
    let store = open(&url, LEASE, 1);
    store.migrate().await.unwrap();
    store.check().await.unwrap();
    let role = url.split(['/', '@']).nth(2).expect("the role").to_owned();
    let planted = format!(
        "CREATE TABLE {role}.orders AS SELECT * FROM orders; CREATE TABLE {role}.products AS SELECT * FROM products;
         GRANT ALL ON {role}.orders, {role}.products TO PUBLIC"
    );
    client.batch_execute(&planted).await.unwrap();
    let order_id = put(&client, "status", "'pending'").await;
    store.check().await.unwrap();
    assert!(matches!(begin(&store, order_id).await, fulfillment_worker::port::store::Begun::Started { .. }));
}

/// At the start there is no telling which of the two is meant.
#[tokio::test]
async fn two_tables_of_different_owners_in_the_search_path_are_refused() {
    let (database, url) = database().await;
    let role = url.split(['/', '@']).nth(2).expect("the role").to_owned();
    let planted =
        format!("CREATE VIEW {role}.orders AS SELECT * FROM orders; ALTER VIEW {role}.orders OWNER TO {role}");
    database.connect().await.batch_execute(&planted).await.unwrap();
    let Err(StoreError::Tables(problems)) = open(&url, LEASE, 1).migrate().await else { panic!("it was made") };
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.contains(&format!("{role}.orders and public.orders, of different owners")), "{problem}");
}
