//! The horizon of an embedded file.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

const HASTE: [&str; 8] =
    ["--reconcile-interval", "300ms", "--reconcile-grace", "1s", "--lease", "2s", "--simulate-latency", "0"];

fn made() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = format!("sqlite:{}", path.display());
    let migrated = binary(&["migrate", "--store", &store]).output().expect("the binary starts");
    assert!(migrated.status.success(), "{migrated:?}");
    (folder, path)
}

fn execute(path: &Path, sql: &str) {
    let connection = Connection::open(path).expect("the file");
    connection.busy_timeout(LONG).expect("patience");
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn number(path: &Path, sql: &str) -> i64 {
    let connection = Connection::open(path).expect("the file");
    connection.busy_timeout(LONG).expect("patience");
    connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Three orders of two days ago without a message, and one of an hour ago with one.
const ORDERS: &str = "
    INSERT INTO products (id, name, price) VALUES (1, 'hand warmer', 1.85);
    INSERT INTO orders (product_id, quantity) VALUES (1, 1), (1, 1), (1, 1), (1, 1);
    UPDATE orders SET created_at = created_at - 172800000000, updated_at = updated_at - 172800000000 WHERE id < 4;
    UPDATE orders SET created_at = created_at - 3600000000, updated_at = updated_at - 3600000000 WHERE id = 4;
    INSERT INTO fulfillment_queue (payload, pushed_at)
    VALUES (CAST('{\"order_id\": 4, \"product_id\": 1, \"quantity\": 1}' AS BLOB), 0);";

const FULFILLED: &str = "SELECT count(*) FROM orders WHERE status = 'fulfilled'";

async fn worker(path: &Path) -> WorkerProcess {
    let store = format!("sqlite:{}", path.display());
    WorkerProcess::ready(&store, &store, &HASTE).await
}

#[tokio::test]
async fn a_first_start_on_a_file_leaves_alone_what_was_lost_in_it_before() {
    let (_folder, path) = made();
    execute(&path, ORDERS);
    let worker = worker(&path).await;
    eventually(LONG, "the order that waits is fulfilled, and the others are counted", async || {
        let counted = worker.metrics().value("fulfillment_orders_before_horizon");
        expect_equal((number(&path, FULFILLED), counted), (1, 3.0))
    })
    .await;
    let noted = "SELECT count(*) FROM fulfillment_horizon h JOIN orders o ON o.created_at = h.adopt_from AND o.id = 4";
    assert_eq!(number(&path, noted), 1);
}

/// Drops what migrations have made since version 7.
fn to_version_7() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backend/sqlite/database/migrations");
    let mut dropped = String::new();
    for entry in std::fs::read_dir(&folder).expect("the migrations") {
        let file = entry.expect("a migration").path();
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let version: u32 = name[1..].split_once("__").expect("V<number>__<name>").0.parse().expect("a number");
        let text = std::fs::read_to_string(&file).expect("a text");
        for line in text.lines().filter(|_| version > 7) {
            if let Some((kind, name)) = line.strip_prefix("CREATE ").and_then(|made| made.split_once(' ')) {
                let (kind, name) =
                    if kind == "UNIQUE" { name.split_once(' ').expect("UNIQUE INDEX") } else { (kind, name) };
                let name = name.split(' ').next().expect("a name");
                dropped += &format!("DROP {kind} IF EXISTS {name};\n");
            }
        }
    }
    dropped + "DELETE FROM refinery_schema_history WHERE version > 7"
}

/// Caught, when seeded: a migration that notes nothing.
#[tokio::test]
async fn a_file_that_was_there_before_takes_in_orders_of_every_age() {
    let (_folder, path) = made();
    execute(&path, ORDERS);
    execute(&path, &to_version_7());
    let worker = worker(&path).await;
    eventually(LONG, "all are fulfilled", async || expect_equal(number(&path, FULFILLED), 4)).await;
    assert_eq!(worker.metrics().value("fulfillment_orders_before_horizon"), 0.0);
}
