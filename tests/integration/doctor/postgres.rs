//! Findings of Postgres: writes, checkpoints, durability, connections.

use crate::doctor::Examined;
use crate::support::orders::{insert, place};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

pub(super) async fn migrated() -> TestDatabase {
    let database = TestDatabase::create().await;
    migrate(database.url());
    database
}

pub(super) fn migrate(url: &str) {
    assert!(run_to_end(&["migrate", "--store", url]).status.success());
}

/// Runs statements, each by itself.
pub(super) async fn run_all(database: &TestDatabase, statements: &[&str]) {
    let client = database.connect().await;
    for statement in statements {
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// Two updates for each of some orders, and the server's count of them.
async fn update_orders(database: &TestDatabase) {
    insert(database, 1_000).await;
    let client = database.connect().await;
    for status in ["processing", "fulfilled"] {
        let update = format!("UPDATE orders SET status = '{status}', updated_at = clock_timestamp()");
        client.batch_execute(&update).await.expect("an update");
    }
    drop(client);
    eventually(LONG, "the server has counted", async || {
        expect_equal(database.number("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'orders'").await, 2_000)
    })
    .await;
}

#[tokio::test]
async fn an_index_on_status_is_found_with_its_readers_and_what_it_prevents() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    update_orders(&database).await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!((examined.level("hot_updates"), examined.level("written_indexes")), ("warning", "warning"));
    assert!(
        examined.found("hot_updates").starts_with("0 % of 2,000 updates of orders were HOT"),
        "{}",
        examined.report
    );
    assert_eq!(examined.remedies("written_indexes"), ["DROP INDEX CONCURRENTLY public.idx_orders_status;"]);
    assert_eq!(examined.finding("written_indexes")["values"]["indexes"][0], "public.idx_orders_status");
    assert_eq!(examined.level("fillfactor"), "notice");
    assert_eq!(examined.remedies("fillfactor"), ["ALTER TABLE public.orders SET (fillfactor = 50);"]);
    assert_eq!(examined.code, Some(1), "{}", examined.said);
}

/// What it says to do is done, as it stands there, and then nothing of that is left to do. On a server with nobody else: whoever
/// looks at this database, if for a moment, keeps old versions in the way of new ones.
#[tokio::test]
async fn what_it_says_to_do_about_writes_helps() {
    let (redis, server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    migrate(database.url());
    run_all(&database, &["ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"]).await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    let remedies = [examined.remedies("written_indexes"), examined.remedies("fillfactor")].concat();
    run_all(&database, &remedies).await;
    update_orders(&database).await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    for check in ["hot_updates", "written_indexes", "fillfactor"] {
        assert_eq!(examined.level(check), "ok", "{}", examined.finding(check));
    }
}

#[tokio::test]
async fn indexes_hold_a_status_also_in_a_condition_an_expression_or_beside_their_keys() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    run_all(
        &database,
        &[
            "DROP INDEX idx_orders_status",
            "CREATE INDEX \"Open; orders\" ON orders (id) WHERE status IN ('pending', 'processing')",
            "CREATE INDEX by_lower ON orders (lower(status))",
            "CREATE INDEX covering ON orders (product_id) INCLUDE (updated_at)",
            "ALTER TABLE orders ADD CONSTRAINT once UNIQUE (id, status)",
        ],
    )
    .await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    let remedies = examined.remedies("written_indexes");
    for part in ["public.\"Open; orders\";", "public.by_lower;", "public.covering;", "the constraint once"] {
        assert!(remedies.iter().any(|remedy| remedy.contains(part)), "{part}: {remedies:?}");
    }
    assert_eq!(remedies.len(), 4, "those of id and product_id alone are none: {remedies:?}");
}

/// BRIN is in the way up to Postgres 15, and not from 16 on.
#[tokio::test]
async fn brin_counts_where_it_is_in_the_way() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    run_all(&database, &["DROP INDEX idx_orders_status", "CREATE INDEX sums ON orders USING brin (status)"]).await;
    let version = database.number("SELECT current_setting('server_version_num')::bigint").await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("written_indexes"), if version < 160_000 { "warning" } else { "ok" });
}

#[tokio::test]
async fn partitions_are_looked_at_one_by_one() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    run_all(
        &database,
        &[
            "DROP TABLE orders",
            "CREATE TABLE orders (id SERIAL, product_id INT NOT NULL, quantity INT NOT NULL, status VARCHAR(50) DEFAULT 'pending',
             created_at TIMESTAMP DEFAULT NOW(), updated_at TIMESTAMP DEFAULT NOW()) PARTITION BY RANGE (id)",
            "CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (1) TO (1000000)",
            "CREATE TABLE orders_2 PARTITION OF orders DEFAULT",
            "CREATE INDEX whole ON orders (status)",
        ],
    )
    .await;
    migrate(database.url());
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.remedies("written_indexes"), ["DROP INDEX public.whole;"]);
    let remedies = [1, 2].map(|part| format!("ALTER TABLE public.orders_{part} SET (fillfactor = 50);"));
    assert_eq!(examined.remedies("fillfactor"), remedies);
    run_all(&database, &[examined.remedies("written_indexes"), examined.remedies("fillfactor")].concat()).await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!((examined.level("written_indexes"), examined.level("fillfactor")), ("ok", "ok"), "{}", examined.report);
}

#[tokio::test]
async fn wal_per_order_is_told_while_orders_flow_and_otherwise_why_not() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &["--sample", "10ms"]);
    assert_eq!(examined.level("wal_per_order"), "unknown");
    assert!(
        examined.found("wal_per_order").starts_with("0 updates of orders within 0s are too few"),
        "{}",
        examined.report
    );

    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    eventually(LONG, "orders flow while it looks", async || {
        place(&database, &redis, 2_000).await;
        let examined = Examined::of(&redis.url(), database.url(), &["--sample", "2s"]);
        let each = examined.finding("wal_per_order")["values"]["wal_bytes_per_order"].as_u64();
        // Others write to the shared server, too: only too little would be wrong.
        each.filter(|each| *each > 300).map(drop).ok_or_else(|| examined.report.to_string())
    })
    .await;
}

#[tokio::test]
async fn commits_that_may_be_lost_are_warned_of() {
    let (redis, server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    migrate(database.url());
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("durability"), "ok", "{}", examined.report);
    run_all(&database, &["ALTER ROLE postgres SET synchronous_commit = off"]).await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("durability"), "warning", "{}", examined.report);
    assert!(examined.found("durability").starts_with("synchronous_commit is off"), "{}", examined.report);
    run_all(&database, &examined.remedies("durability")).await;
    assert_eq!(Examined::of(&redis.url(), database.url(), &[]).level("durability"), "ok");
}

#[tokio::test]
async fn checkpoints_that_the_wal_asks_for_are_told_with_settings_that_help() {
    let (redis, server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    migrate(database.url());
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("checkpoints"), "unknown", "{}", examined.report);
    for _ in 0..24 {
        run_all(&database, &["UPDATE products SET price = price", "CHECKPOINT"]).await;
    }
    let examined = eventually(LONG, "the server has counted", async || {
        let examined = Examined::of(&redis.url(), database.url(), &[]);
        if examined.level("checkpoints") == "notice" { Ok(examined) } else { Err(examined.report.to_string()) }
    })
    .await;
    let remedies = examined.remedies("checkpoints");
    assert!(remedies.contains(&"ALTER SYSTEM SET max_wal_size = '512MB';"), "{remedies:?}");
    run_all(&database, &remedies).await;
}

#[tokio::test]
async fn room_for_a_workers_connections_is_counted() {
    let (redis, server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    migrate(database.url());
    let examined = Examined::of(&redis.url(), database.url(), &["--store-connections", "90"]);
    assert_eq!(examined.level("connections"), "ok", "{}", examined.report);
    let examined = Examined::of(&redis.url(), database.url(), &["--store-connections", "120"]);
    assert_eq!(examined.level("connections"), "warning", "{}", examined.report);
    assert!(examined.found("connections").contains("of 97 connections are taken, no worker is connected"));

    run_all(&database, &["CREATE ROLE few LOGIN SUPERUSER CONNECTION LIMIT 7"]).await;
    let few = database.url().replace("postgres@", "few@");
    let examined = Examined::of(&redis.url(), &few, &[]);
    assert!(examined.found("connections").contains("of 7 connections"), "{}", examined.report);
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &[]).await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert!(examined.found("connections").contains("of them one worker's"), "{}", examined.report);
}

#[tokio::test]
async fn tables_that_lack_something_are_a_finding_and_hide_no_other() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("tables_and_rights"), "warning");
    assert!(examined.found("tables_and_rights").contains("fulfillment.events"), "{}", examined.report);
    assert_eq!(examined.level("written_indexes"), "warning");
    assert_eq!(examined.level("time_zone"), "unknown");
    migrate(database.url());
    assert_eq!(Examined::of(&redis.url(), database.url(), &[]).level("tables_and_rights"), "ok");
}

#[tokio::test]
async fn workers_that_write_in_different_zones_are_told() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!((examined.level("time_zone"), examined.level("clocks")), ("ok", "ok"), "{}", examined.report);
    run_all(
        &database,
        &["INSERT INTO fulfillment.clocks (zone, noted_at) VALUES ('UTC', now()), ('Europe/Berlin', now())"],
    )
    .await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("time_zone"), "warning");
    assert!(examined.found("time_zone").contains("Europe/Berlin, UTC"), "{}", examined.report);
}

/// Caught: nothing told of them, and a worker there was ready and not ready by turns. What is printed can be pasted, also by
/// somebody whose own session is read-only.
#[tokio::test]
async fn what_a_role_or_database_gives_every_session_is_told_with_ddl_that_mends_it() {
    let (redis, server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    migrate(database.url());
    assert_eq!(Examined::of(&redis.url(), database.url(), &[]).level("session_settings"), "ok");
    for (set, level) in [
        ("default_transaction_read_only = on", "warning"),
        ("default_transaction_isolation = 'serializable'", "notice"),
        ("default_transaction_isolation = 'repeatable read'", "notice"),
        ("statement_timeout = '1500ms'", "notice"),
        ("idle_session_timeout = '20s'", "notice"),
    ] {
        for of in ["ROLE postgres", "DATABASE {}"] {
            let name = database.query("SELECT quote_ident(current_database())", &[]).await[0].get::<_, String>(0);
            let of = of.replace("{}", &name);
            run_all(&database, &[&format!("BEGIN READ WRITE; ALTER {of} SET {set}; COMMIT")]).await;
            let examined = Examined::of(&redis.url(), database.url(), &[]);
            assert_eq!(examined.level("session_settings"), level, "{of} {set}: {}", examined.report);
            run_all(&database, &examined.remedies("session_settings")).await;
            let examined = Examined::of(&redis.url(), database.url(), &[]);
            assert_eq!(examined.level("session_settings"), "ok", "{of} {set}: {}", examined.report);
            let undo = format!(
                "BEGIN READ WRITE; ALTER {of} RESET ALL; ALTER ROLE postgres IN DATABASE {name} RESET ALL; COMMIT"
            );
            run_all(&database, &[&undo]).await;
        }
    }
}
