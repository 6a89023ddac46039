//! Tables of the order API that aren't quite the given ones: what can work, works, and what can't is refused before the first
//! claim, with what was found and what is wanted.

use std::time::Duration;

use fulfillment_worker::backend::postgres::PostgresStore;
use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::port::audit::Audit;
use fulfillment_worker::port::dead_letters::DeadLetters;
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, OrderStore, StoreError, Target, Verdict};
use tokio_postgres::Client;

use crate::postgres_store::{LEASE, begin, fulfilled, letter, open, put};
use crate::support::postgres::TestDatabase;

/// A database whose tables were changed so, without the worker's own.
async fn changed(sql: &str) -> (TestDatabase, Client, PostgresStore) {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    client.batch_execute("INSERT INTO products (name, price) VALUES ('hand warmer', 1.85)").await.unwrap();
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let store = open(database.url(), LEASE, 2);
    (database, client, store)
}

/// Takes an order through a failed attempt, a fulfilled one and another one to its dead letter, and asks everything about it.
pub(super) async fn works(store: &PostgresStore, client: &Client, what: &str) {
    store.migrate().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    store.check().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let order_id = put(client, "status", "'pending'").await;
    for attempt in [1, 2] {
        let request = BeginRequest { order_id, attempt, correlation_id: Some("né 🦀".to_owned()) };
        let begun = store.begin(&[request]).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let [Begun::Started { fence, .. }] = &begun[..] else { panic!("{what}: {begun:?}") };
        assert!(matches!(begin(store, order_id).await, Begun::Busy(_)), "{what}");
        let to = match attempt {
            1 => Target::Pending { reason: "später 🦀".to_owned() },
            _ => Target::Fulfilled { reference: None },
        };
        let ended = Conclusion { attempt, to, ..fulfilled(order_id, *fence) };
        let verdicts = store.conclude(std::slice::from_ref(&ended)).await.unwrap();
        assert!(matches!(verdicts[0], Verdict::Done { .. }), "{what}: {verdicts:?}");
        let twice = store.conclude(&[ended]).await.unwrap();
        assert!(matches!(twice[0], Verdict::Superseded(_)), "{what}: {twice:?}");
    }
    let timeline = store.timeline(order_id).await.unwrap();
    let states: Vec<&State> = timeline.iter().map(|entry| &entry.state).collect();
    assert_eq!(states, [&State::Processing, &State::Pending, &State::Processing, &State::Fulfilled], "{what}");
    assert!(timeline.is_sorted_by(|one, next| one.at < next.at), "{what}: {timeline:?}");
    let page = store.audit(OrderId(0), 10).await.unwrap();
    assert_eq!((page.not_fulfilled_once, page.without_timeline), (Vec::new(), 0), "{what}");

    let failing = put(client, "status", "'pending'").await;
    let Begun::Started { fence, .. } = begin(store, failing).await else { panic!("{what}") };
    store.conclude(&[Conclusion { to: Target::Failed(letter()), ..fulfilled(failing, fence) }]).await.unwrap();
    assert_eq!(store.order(failing).await.unwrap().expect("its row").state, State::Failed, "{what}");
    assert_eq!(store.list(&Default::default(), 0, 10).await.unwrap().len(), 1, "{what}");
    let summary = store.summary().await.unwrap();
    assert!(summary.orders_by_state.contains(&("fulfilled".to_owned(), 1)), "{what}: {summary:?}");
    store.open_orders().await.unwrap();
}

pub(super) const ENUM: &str =
    "CREATE TYPE order_status AS ENUM ('pending', 'processing', 'fulfilled', 'failed', 'cancelled');
    ALTER TABLE orders ALTER status DROP DEFAULT, ALTER status TYPE order_status USING status::order_status,
    ALTER status SET DEFAULT 'pending'";
const PARTITIONED: &str =
    "DROP TABLE orders; CREATE TABLE orders (id serial, product_id int NOT NULL, quantity int NOT NULL,
    status varchar(50) DEFAULT 'pending', created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now())";
const TOUCH: &str = "CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()";

fn trigger(time: &str) -> String {
    format!(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN NEW.updated_at = {time}; RETURN NEW; END$$; {TOUCH}"
    )
}

/// Caught, on the code before: every one but for the types of numbers, the view, and the trigger that writes the time.
#[tokio::test]
async fn what_can_work_works() {
    let cases = [
        ENUM.to_owned(),
        format!("CREATE SCHEMA \"the shop\"; {}", ENUM.replace("order_status", "\"the shop\".\"Order Status\"")),
        "CREATE DOMAIN status AS varchar(20); ALTER TABLE orders ALTER status TYPE status".to_owned(),
        "ALTER TABLE orders ALTER status TYPE char(12)".to_owned(),
        "ALTER TABLE orders ALTER status TYPE text, ADD CHECK (status IN ('pending','processing','fulfilled','failed'))".to_owned(),
        "ALTER TABLE orders ALTER updated_at TYPE timestamptz, ALTER created_at TYPE timestamptz".to_owned(),
        "ALTER TABLE orders ALTER updated_at TYPE timestamptz(0)".to_owned(),
        "ALTER TABLE orders ALTER created_at TYPE timestamptz".to_owned(),
        "ALTER TABLE orders ALTER updated_at TYPE timestamp(0), ALTER created_at TYPE timestamp(0)".to_owned(),
        "ALTER TABLE orders ALTER updated_at TYPE timestamp(3), ALTER created_at TYPE timestamp(3)".to_owned(),
        "ALTER TABLE orders ALTER id TYPE bigint, ALTER product_id TYPE bigint, ALTER quantity TYPE numeric(12, 0)".to_owned(),
        "CREATE SCHEMA shop; ALTER TABLE orders SET SCHEMA shop; CREATE VIEW orders AS SELECT * FROM shop.orders".to_owned(),
        format!("{PARTITIONED} PARTITION BY RANGE (id); CREATE TABLE p PARTITION OF orders DEFAULT"),
        format!(
            "{PARTITIONED} PARTITION BY LIST (status); CREATE TABLE p PARTITION OF orders FOR VALUES IN ('fulfilled');
             CREATE TABLE q PARTITION OF orders FOR VALUES IN ('pending', 'processing', 'failed')"
        ),
        trigger("date_trunc('second', now())"),
        trigger("date_trunc('minute', clock_timestamp())"),
        trigger("clock_timestamp()"),
        trigger("now() AT TIME ZONE 'America/New_York'"),
        trigger("OLD.created_at"),
    ];
    for sql in cases {
        for zone in ["UTC", "Asia/Kolkata"] {
            let (database, client, _) = changed(&sql).await;
            let name = client.query_one("SELECT current_database()", &[]).await.unwrap().get::<_, String>(0);
            client.batch_execute(&format!("ALTER DATABASE {name} SET timezone = '{zone}'")).await.unwrap();
            works(&open(database.url(), LEASE, 2), &database.connect().await, &format!("{zone}: {sql}")).await;
        }
    }
}

#[tokio::test]
async fn a_database_of_another_encoding_works() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let name =
        format!("{}_latin", client.query_one("SELECT current_database()", &[]).await.unwrap().get::<_, String>(0));
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    client.batch_execute(&create).await.unwrap();
    let url = database.url().rsplit_once('/').map(|(server, _)| format!("{server}/{name}")).unwrap();
    let latin = crate::support::postgres::connect(&url).await;
    latin.batch_execute(include_str!("../../data/given_schema.sql")).await.unwrap();
    latin.batch_execute("INSERT INTO products (name, price) VALUES ('hand wärmer', 1.85)").await.unwrap();
    works(&open(&url, LEASE, 1), &latin, "LATIN1").await;
    drop(latin);
    client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

/// Caught, on the code before: none of these was refused before an order was called for.
#[tokio::test]
async fn what_cant_work_is_refused_with_what_was_found_and_what_is_wanted() {
    let lacking = ENUM.replace("'failed', ", "");
    let cases = [
        (lacking.as_str(), "column orders.status is order_status (an enum without `failed`), and must be an enum with"),
        (
            "ALTER TABLE orders ALTER status TYPE varchar(9)",
            "column orders.status is character varying(9), and must be text, varchar(10) or longer, or an enum",
        ),
        (
            "ALTER TABLE orders ALTER status DROP DEFAULT, ALTER status TYPE jsonb USING to_jsonb(status)",
            "column orders.status is jsonb, and must be text",
        ),
        ("ALTER TABLE orders ALTER updated_at TYPE date", "column orders.updated_at is date, and must be timestamp"),
        (
            "ALTER TABLE orders ALTER created_at DROP DEFAULT, ALTER created_at TYPE bigint USING 0",
            "column orders.created_at is bigint, and must be timestamp or timestamptz",
        ),
        ("ALTER TABLE orders DROP updated_at", "column orders.updated_at is not there"),
        (
            "ALTER TABLE orders DROP updated_at, ADD updated_at timestamp GENERATED ALWAYS AS (created_at) STORED",
            "column orders.updated_at is timestamp without time zone (generated), and must be a column that can be written",
        ),
        (
            "ALTER TABLE orders ALTER id DROP DEFAULT, ALTER id TYPE uuid USING gen_random_uuid()",
            "column orders.id is uuid, and must be an integer",
        ),
        (
            "ALTER TABLE orders ALTER quantity TYPE numeric(10, 2)",
            "column orders.quantity is numeric(10,2), and must be",
        ),
        (
            "ALTER TABLE orders ADD CHECK (status IN ('pending', 'processing', 'fulfilled'))",
            "orders.status can't become `failed`: a check constraint: ",
        ),
        (
            "ALTER TABLE orders RENAME TO o; CREATE VIEW orders AS SELECT DISTINCT * FROM o",
            "orders is a view whose rows can't be updated; it must be a table, or a view that Postgres can update by itself",
        ),
        (
            "ALTER TABLE orders RENAME TO o; CREATE MATERIALIZED VIEW orders AS SELECT * FROM o",
            "orders is a materialized view; it must be a table",
        ),
    ];
    for (sql, expected) in cases {
        let (_database, _client, store) = changed(sql).await;
        store.migrate().await.unwrap();
        refused(&store, expected).await;
    }
    let parts = "; CREATE TABLE p PARTITION OF orders FOR VALUES";
    for (by, expected) in [
        ("LIST (status)", "orders.status can't become `processing`: no partition for it"),
        (
            "RANGE (updated_at)",
            "column orders.updated_at is timestamp without time zone, and must be no key of partitions",
        ),
    ] {
        let values = if by.starts_with("LIST") {
            "IN ('pending', 'failed', 'fulfilled')"
        } else {
            "FROM (MINVALUE) TO ('2099-01-01')"
        };
        let (_database, _client, store) = changed(&format!("{PARTITIONED} PARTITION BY {by} {parts} {values}")).await;
        store.migrate().await.unwrap();
        refused(&store, expected).await;
    }
}

async fn refused(store: &PostgresStore, expected: &str) {
    match store.check().await {
        Err(StoreError::Tables(problems)) => {
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
        }
        other => panic!("{expected}: {other:?}"),
    }
}

/// Caught, on the code before: every order was unknown to such a role.
#[tokio::test]
async fn rows_that_row_level_security_hides_are_refused_or_warned_of() {
    let secure = "ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
    let (database, client, owner) = changed(secure).await;
    owner.migrate().await.unwrap();
    let role = client.query_one("SELECT current_database()", &[]).await.unwrap().get::<_, String>(0);
    let grant = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT ALL ON ALL TABLES IN SCHEMA public, fulfillment TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}; GRANT USAGE ON SCHEMA fulfillment TO {role}"
    );
    client.batch_execute(&grant).await.unwrap();
    let mut url = url::Url::parse(database.url()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("secret")).unwrap();
    let store = open(url.as_str(), LEASE, 1);
    let hidden = format!("row-level security on orders hides every row from role {role}");
    refused(&store, &hidden).await;
    client.batch_execute("CREATE POLICY look ON orders FOR SELECT USING (true)").await.unwrap();
    refused(&store, &hidden).await;
    client.batch_execute("CREATE POLICY work ON orders FOR UPDATE USING (true)").await.unwrap();
    store.check().await.unwrap();
    assert!(store.warning().await.unwrap().is_some_and(|warning| warning.contains("row-level security")));
    assert_eq!(owner.warning().await.unwrap(), None, "a superuser sees all");
    client.batch_execute(&format!("ALTER ROLE {role} BYPASSRLS; DROP POLICY look ON orders")).await.unwrap();
    store.check().await.unwrap();
    let clean_up = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    client.batch_execute(&clean_up).await.unwrap();
}

/// Caught, on the code before: `migrate` made its tables wherever it was.
#[tokio::test]
async fn nothing_is_made_before_the_given_tables_were_found() {
    let (_database, client, store) =
        changed("CREATE SCHEMA shop; ALTER TABLE orders SET SCHEMA shop; ALTER TABLE products SET SCHEMA shop").await;
    let Err(StoreError::Tables(problems)) = store.migrate().await else { panic!("it was made") };
    let (orders, products) = (&problems[0], &problems[1]);
    assert!(orders.contains("table orders is not found") && orders.contains("search path (public)"), "{orders}");
    assert!(orders.contains("there is shop.orders") && products.contains("there is shop.products"), "{problems:?}");
    let made = client.query_one("SELECT to_regnamespace('fulfillment') IS NULL", &[]).await.unwrap();
    assert!(made.get::<_, bool>(0), "nothing is made");
    let name = client.query_one("SELECT current_database()", &[]).await.unwrap().get::<_, String>(0);
    client.batch_execute(&format!("ALTER DATABASE {name} SET search_path = shop, public")).await.unwrap();
    let store = open(_database.url(), LEASE, 1);
    works(&store, &_database.connect().await, "found by the search path").await;
}

/// The tables change under a worker that goes on.
#[tokio::test]
async fn a_column_that_changes_its_type_is_worked_with_after_the_next_check() {
    let (_database, client, store) = changed("SELECT 1").await;
    works(&store, &client, "as given").await;
    client.batch_execute(&format!("TRUNCATE orders; TRUNCATE fulfillment.dead_letters; {ENUM}")).await.unwrap();
    works(&store, &client, "an enum").await;
}

/// As tools that change a table without stopping anybody do: a new one takes the old one's name. A check that met that on its way
/// took the old one's new name for the name it had always had, and the worker went on there.
/// Caught, when seeded, in every second or third run: `to_regclass`.
#[tokio::test]
async fn a_table_that_takes_the_others_name_during_a_check_is_worked_with() {
    let (database, client, store) = changed("SELECT 1").await;
    store.migrate().await.unwrap();
    let swapping = database.connect().await;
    for round in 0..160 {
        let swap = async {
            // At another moment of the check in each round: nothing tells from outside how far it is.
            tokio::time::sleep(Duration::from_micros(50) * (round % 40)).await;
            let sql = format!(
                "ALTER TABLE orders RENAME TO orders_{round}; CREATE TABLE orders (LIKE orders_{round} INCLUDING ALL)"
            );
            swapping.batch_execute(&sql).await.unwrap();
        };
        // It may have found a column that was gone a moment later.
        let (_, ()) = tokio::join!(store.check(), swap);
        let order_id = put(&client, "status", "'pending'").await;
        let begun = begin(&store, order_id).await;
        assert!(matches!(begun, Begun::Started { .. }), "round {round}: {begun:?}");
    }
}
