//! What a role with a worker's rights sees, and how it is told what it doesn't.

use serde_json::json;

use crate::doctor::Examined;
use crate::doctor::postgres::{migrate, run_all};
use crate::support::orders::insert;
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::redis::RedisServer;
use crate::support::worker::run_to_end;
use crate::support::{LONG, eventually};

const ROLES: &str = include_str!("../../../deploy/postgres/roles.sql");

/// A server of its own with the shipped roles, and the worker's URL.
async fn with_roles() -> (PostgresServer, TestDatabase, String) {
    let server = PostgresServer::start().await;
    let database = server.database().await;
    run_all(&database, &[ROLES]).await;
    let as_role = |role: &str| database.url().replace("postgres@", &format!("{role}@"));
    let migrator = as_role("fulfillment_migrator");
    let granted = run_to_end(&["migrate", "--grant-to", "fulfillment_worker", "--store", &migrator]);
    assert!(granted.status.success(), "{granted:?}");
    let worker = as_role("fulfillment_worker");
    (server, database, worker)
}

#[tokio::test]
async fn a_worker_with_its_own_rights_sees_all_but_what_it_is_told() {
    let (redis, (_server, database, url)) = (RedisServer::start().await, with_roles().await);
    let examined = Examined::of(&redis.url(), &url, &["--sample", "10ms"]);
    assert_eq!(examined.report["unanswered"], json!([]));
    for check in ["tables_and_rights", "excess_rights", "time_zone", "connections", "dead_rows", "replication_slots"] {
        assert_eq!(examined.level(check), "ok", "{}", examined.finding(check));
    }
    assert_eq!(examined.level("written_indexes"), "warning");
    assert!(!examined.report.to_string().contains("SQLSTATE"), "{}", examined.report);

    // Another's transaction: that it is there is seen, and not since when.
    let other = database.connect().await;
    other.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.expect("an open transaction");
    let examined = Examined::of(&redis.url(), &url, &[]);
    assert_eq!(examined.level("transactions"), "unknown", "{}", examined.report);
    let remedies = examined.remedies("transactions");
    assert!(remedies[0].starts_with("GRANT pg_read_all_stats TO \"fulfillment_worker\""), "{remedies:?}");
    run_all(&database, &remedies).await;
    let examined = Examined::of(&redis.url(), &url, &[]);
    assert_ne!(examined.level("transactions"), "unknown", "{}", examined.report);
}

#[tokio::test]
async fn a_right_that_lacks_and_rights_that_are_too_many_are_told() {
    let (redis, (_server, database, url)) = (RedisServer::start().await, with_roles().await);
    let said = "UPDATE (status) ON orders FROM fulfillment_worker";
    run_all(
        &database,
        &[
            &format!("REVOKE {said}"),
            "GRANT DELETE ON orders TO fulfillment_worker",
            "GRANT UPDATE (quantity) ON orders TO fulfillment_worker",
        ],
    )
    .await;
    let examined = Examined::of(&redis.url(), &url, &[]);
    assert_eq!(examined.level("tables_and_rights"), "warning");
    assert!(examined.found("tables_and_rights").contains("privilege UPDATE (status) on orders"), "{}", examined.report);
    assert_eq!(
        examined.found("excess_rights"),
        "role fulfillment_worker may delete orders, may update other columns of orders than status and updated_at"
    );
    let remedies = examined.remedies("tables_and_rights");
    assert_eq!(remedies, ["GRANT UPDATE (status) ON orders TO \"fulfillment_worker\";"], "{remedies:?}");
    run_all(&database, &remedies).await;
    run_all(&database, &["REVOKE ALL ON fulfillment.horizon FROM fulfillment_worker"]).await;
    run_all(&database, &Examined::of(&redis.url(), &url, &[]).remedies("tables_and_rights")).await;
    assert_eq!(Examined::of(&redis.url(), &url, &[]).level("tables_and_rights"), "ok");
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.found("excess_rights"), "role postgres is a superuser");
}

/// What somebody has put in the place of a table of the worker's is named, and not run: whoever read it would be told of a division by zero.
#[tokio::test]
async fn what_a_stranger_has_planted_is_named_and_not_read() {
    let (redis, (_server, database, url)) = (RedisServer::start().await, with_roles().await);
    run_all(
        &database,
        &[
            "CREATE ROLE eve",
            "GRANT CREATE, USAGE ON SCHEMA fulfillment TO eve",
            "ALTER TABLE fulfillment.clocks RENAME TO clocks_before",
            "SET ROLE eve; CREATE VIEW fulfillment.clocks AS SELECT (1 / extract(epoch FROM now() - now()))::text AS zone, \
             now() AS noted_at, now() AS behind_at; GRANT SELECT ON fulfillment.clocks TO PUBLIC",
        ],
    )
    .await;
    let examined = Examined::of(&redis.url(), &url, &[]);
    assert!(
        examined.found("tables_and_rights").contains("fulfillment.clocks belongs to role eve"),
        "{}",
        examined.report
    );
    assert_eq!(examined.level("time_zone"), "unknown");
    assert!(examined.found("time_zone").contains("not the worker's own"), "{}", examined.report);
}

/// Where the extension is, statements that look for a status are shown with who runs them; the worker's own are none of them.
#[tokio::test]
async fn statements_of_others_that_look_for_a_status_are_named() {
    let (redis, mut server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    migrate(database.url());
    run_all(&database, &["ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'"]).await;
    server.stop_immediately().await;
    server.restart().await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert!(examined.found("written_indexes").contains("pg_stat_statements is not installed"), "{}", examined.report);
    run_all(
        &database,
        &[
            "CREATE SCHEMA \"Odd schema\"",
            "CREATE EXTENSION pg_stat_statements SCHEMA \"Odd schema\"",
            "CREATE ROLE shop LOGIN SUPERUSER",
        ],
    )
    .await;
    insert(&database, 10).await;
    assert!(run_to_end(&["status", "--queue", &redis.url(), "--store", database.url()]).status.success());
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert!(examined.found("written_indexes").contains("no statement of others"), "{}", examined.report);

    let shop = crate::support::postgres::connect(&database.url().replace("postgres@", "shop@")).await;
    shop.query("SELECT count(*) FROM orders\nWHERE status = $1", &[&"pending"]).await.expect("a count");
    shop.batch_execute("UPDATE orders SET status = 'pending' WHERE id = 1").await.expect("an update");
    let examined = eventually(LONG, "the statement is named", async || {
        let examined = Examined::of(&redis.url(), database.url(), &[]);
        let expected = "others look for a status: shop (1 calls): SELECT count(*) FROM orders WHERE status = $1";
        if examined.found("written_indexes").contains(expected) {
            Ok(examined)
        } else {
            Err(examined.report.to_string())
        }
    })
    .await;
    assert!(!examined.found("written_indexes").contains("UPDATE"), "{}", examined.report);
    // A role that may not see the text is told so.
    run_all(
        &database,
        &["CREATE ROLE low LOGIN", "GRANT SELECT ON orders TO low", "GRANT USAGE ON SCHEMA \"Odd schema\" TO low"],
    )
    .await;
    let examined = Examined::of(&redis.url(), &database.url().replace("postgres@", "low@"), &[]);
    assert!(
        examined.found("written_indexes").contains("statements are not visible to this role"),
        "{}",
        examined.report
    );
}
