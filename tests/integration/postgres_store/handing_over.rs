//! A schema that is there before `migrate`: empty, or with the tables of a version before. Roles may then do without the right
//! to create schemas, and nothing is lost.

use std::process::Command;

use fulfillment_worker::backend::postgres::migration_sql;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters};
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::schema::Schema;
use futures::future::join_all;

use crate::postgres_store::grants::Roles;
use crate::postgres_store::migrating::HISTORY;
use crate::support::postgres::TestDatabase;

/// What builds from before 0.1.0 made, by their own migrations.
const OLD: [&str; 3] = [
    include_str!("../../../src/backend/postgres/migrations/V1__events_and_dead_letters.sql"),
    include_str!("../../../src/backend/postgres/migrations/V2__resolved_dead_letters.sql"),
    include_str!("../../../src/backend/postgres/migrations/V3__leadership.sql"),
];

/// Every column, index, constraint and default in the schema, a line each.
const SHAPE: &str = "
    SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT concat_ws(' ', table_name, ordinal_position, column_name, data_type, is_nullable, column_default, is_identity) AS line
        FROM information_schema.columns WHERE table_schema = 'fulfillment' AND table_name <> 'schema_history'
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'fulfillment' AND tablename <> 'schema_history'
        UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'fulfillment'::regnamespace AND conrelid <> 'fulfillment.schema_history'::regclass
    ) AS lines";

async fn shape(database: &TestDatabase) -> String {
    database.query(SHAPE, &[]).await[0].get(0)
}

/// Caught, when seeded: `CREATE SCHEMA IF NOT EXISTS`, before the migrations or in the first one.
#[tokio::test]
async fn a_migrator_that_may_create_no_schema_makes_the_tables_in_the_one_that_is_there() {
    let roles = Roles::make().await;
    let applied = roles.open("migrator").migrate().await.unwrap();
    assert_eq!(applied.len(), migration_sql().matches("-- V").count());
    assert_eq!(roles.open("migrator").migrate().await.unwrap(), Vec::<String>::new());
    let plain = TestDatabase::create().await;
    crate::postgres_store::migrated(&plain).await;
    assert_eq!(shape(&roles.database).await, shape(&plain).await);
}

#[tokio::test]
async fn several_migrators_at_once_apply_each_migration_once() {
    let roles = Roles::make().await;
    let applied = join_all((0..6).map(async |_| roles.open("migrator").migrate().await.unwrap())).await;
    let all: Vec<&String> = applied.iter().flatten().collect();
    assert_eq!(all.len(), migration_sql().matches("-- V").count(), "{applied:?}");
}

/// As `psql` runs what `migrate --print` shows, as the migrator and in a schema that is there.
#[tokio::test]
async fn the_printed_sql_does_the_same_by_hand() {
    let roles = Roles::make().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("migrate.sql");
    std::fs::write(&file, migration_sql()).unwrap();
    for _ in 0..2 {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file"]).arg(&file).arg(roles.url("migrator"));
        let output = psql.output().expect("psql");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let other = Roles::make().await;
    other.open("migrator").migrate().await.unwrap();
    roles.open("migrator").migrate().await.unwrap();
    assert_eq!(shape(&roles.database).await, shape(&other.database).await);
}

/// The role that did everything, as the compose file had it before 0.1.0, gives way to three.
#[tokio::test]
async fn an_installation_from_before_0_1_0_is_handed_over_to_the_roles_and_upgraded_with_all_that_it_holds() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    client.batch_execute(&OLD.concat()).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE fulfillment.schema_history (
        version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))",
        )
        .await
        .unwrap();
    client.batch_execute(HISTORY).await.unwrap();
    let held = "INSERT INTO products (name, price) VALUES ('hand warmer', 1.85);
        INSERT INTO orders (product_id, quantity, status) VALUES (1, 1, 'failed');
        INSERT INTO fulfillment.events (order_id, at, state, attempt, worker) VALUES (1, now(), 'failed', 1, 'old');
        INSERT INTO fulfillment.dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
        VALUES ('1', 1, 'x', 'rejected', 'by hand', 1, 'old', now());
        INSERT INTO fulfillment.leadership VALUES ('reconciler', 'old', now())";
    client.batch_execute(held).await.unwrap();

    let roles = Roles::of(database).await;
    let applied = roles.open("migrator").migrate().await.unwrap();
    let earlier = ["V4__clocks", "V5__submissions", "V6__horizon"];
    let later = ["V7__retention", "V8__low_water_mark", "V9__controls", "V10__holds", "V11__lists", "V12__jobs"];
    assert_eq!(applied, [&earlier[..], &later, &["V13__requests", "V14__trends"]].concat());
    roles.open("migrator").grant(&roles.name("worker")).await.unwrap();
    let worker = roles.open("worker");
    worker.check().await.unwrap();
    assert_eq!(worker.list(&DeadLetterFilter::default(), 0, 10).await.unwrap().len(), 1);
    assert_eq!(worker.timeline(fulfillment_worker::domain::order::OrderId(1)).await.unwrap().len(), 1);
    assert_eq!(roles.database.number("SELECT count(*) FROM fulfillment.leadership").await, 1);
}
