//! Whoever runs the worker: the night, a bug report, and a restore.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::first_steps::{listening, says};
use super::sql::psql;
use crate::support::orders::{all_fulfilled_once, in_state, insert, place};
use crate::support::pages::{Page, Shell};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

#[tokio::test]
async fn the_night_and_the_morning_go_as_the_page_says() {
    let mut page = Page::of("docs/OPERATING.md", "the_night_and_the_morning_go_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    place(&database, &redis, 3).await;
    all_fulfilled_once(&database, &redis).await;
    redis.cli_push(b"not an order");
    let letters = "SELECT count(*) FROM fulfillment.dead_letters";
    eventually(LONG, "a dead letter", async || expect_equal(database.number(letters).await, 1)).await;
    let shell = Shell::with_servers(&redis, &database);

    let said = shell.run(&page.next());
    assert!(said.contains("1 invalid_message") && said.contains("Every order is accounted for."), "{said}");

    let said = shell.run(&page.next());
    assert!(said.contains("not an order message"), "{said}");
}

#[tokio::test]
async fn what_a_bug_report_needs_is_got_as_the_page_says() {
    let mut page = Page::of("docs/OPERATING.md", "what_a_bug_report_needs_is_got_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    place(&database, &redis, 1).await;
    all_fulfilled_once(&database, &redis).await;
    let mut shell = Shell::with_servers(&redis, &database);
    shell.set("FULFILLMENT_FULFILLER_TOKEN", "a-token-of-the-warehouse");

    let block = page.next().with("4711", "1").with("worker:2112", &worker.address().to_string());
    let commands = block.commands();
    let [version, config, status, doctor, order, rest] = commands.as_slice() else {
        panic!("other commands: {commands:?}")
    };
    let mut said: Vec<String> = [version, config, status, order, rest].map(|command| shell.run(command)).into();
    // The tests' servers don't wait for a disk, which is warned of.
    said.push(shell.run_with_code(doctor, 1));

    assert!(said[3].contains("\"fulfilled\"") && said[4].contains("orders_processed_total"), "{said:?}");
    assert!(!said.concat().contains("a-token-of-the-warehouse"), "a secret in {said:?}");
}

async fn stop(mut worker: WorkerProcess) {
    worker.signal(Signal::Term);
    assert!(worker.ended(LONG).await.success(), "{}", worker.output());
}

/// Keys that a warehouse has shipped, sorted.
fn shipped(warehouse: &WarehouseProcess) -> Vec<String> {
    let calls = warehouse.record("ships.jsonl");
    let effects = calls.iter().filter(|call| call["effect"] == true);
    let mut keys: Vec<String> = effects.map(|call| call["key"].as_str().expect("a key").to_owned()).collect();
    keys.sort();
    keys
}

/// With a warehouse that doesn't honour keys: the harder case.
///
/// Caught, when seeded: shipped orders that aren't marked, and keys by milliseconds.
#[tokio::test]
async fn a_restore_goes_as_the_page_says() {
    let mut page = Page::of("docs/BACKUP.md", "a_restore_goes_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&["--honour-keys=false", "--record", "ships.jsonl"]).await;
    let fulfiller = format!("http://{}/shipments", warehouse.address());
    let options = ["--fulfiller", fulfiller.as_str()];
    let start = async || WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    let mut shell = Shell::with_servers(&redis, &database);
    shell.set("ADMIN_URL", &std::env::var("TEST_POSTGRES_URL").expect("a server"));
    let (_, name) = database.url().rsplit_once('/').expect("a database");

    // Three are fulfilled and four wait when the backup is made; all seven are shipped, and one that comes later.
    let worker = start().await;
    place(&database, &redis, 3).await;
    all_fulfilled_once(&database, &redis).await;
    stop(worker).await;
    place(&database, &redis, 4).await;
    shell.run(&page.next());
    let worker = start().await;
    place(&database, &redis, 1).await;
    all_fulfilled_once(&database, &redis).await;
    stop(worker).await;

    let restore = page.next().with("shop RENAME TO shop_broken", &format!("{name} RENAME TO {name}_broken"));
    shell.run(&restore.with("CREATE DATABASE shop", &format!("CREATE DATABASE {name}")));
    assert_eq!(in_state(&database, "pending").await, 4);
    let said = shell.run(&page.next());
    assert!(said.contains("restored to 03:00"), "{said}");

    fs::write(shell.path("shipped.txt"), shipped(&warehouse).join("\n") + "\n").expect("the warehouse's list");
    shell.run(&page.next());
    let lines = |name: &str| fs::read_to_string(shell.path(name)).expect(name).lines().count();
    assert_eq!((lines("shipped-and-open.txt"), lines("shipped-without-a-row.txt")), (4, 1));

    psql(&shell, database.url(), &page.next());
    assert_eq!(in_state(&database, "fulfilled").await, 7);
    psql(&shell, database.url(), &page.next().with("4812", "8"));

    let worker = start().await;
    let commands = page.next().commands();
    let [limit, resume, watch] = commands.as_slice() else { panic!("other commands: {commands:?}") };
    shell.run(limit);
    shell.run(resume);
    says(&mut shell.start(watch), "dead letters").await;
    assert_eq!(place(&database, &redis, 1).await, [9], "a number that a lost order has had");
    all_fulfilled_once(&database, &redis).await;
    let verified = run_to_end(&["verify", "--queue", &redis.url(), "--store", database.url()]);
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(shipped(&warehouse).len(), 9, "{:?}", shipped(&warehouse));
    stop(worker).await;
    let server = std::env::var("TEST_POSTGRES_URL").expect("a server");
    let drop = format!("DROP DATABASE {name}_broken");
    let dropped = Command::new("psql").args(["--no-psqlrc", "--command", &drop, &server]).output().expect("psql");
    assert!(dropped.status.success(), "{dropped:?}");
}

/// Caught, when seeded: a backup that others can read.
#[tokio::test]
async fn an_embedded_database_is_backed_up_as_the_page_says() {
    let mut page = Page::of("docs/BACKUP.md", "an_embedded_database_is_backed_up_as_the_page_says");
    let mut shell = Shell::new();
    listening(&mut shell);
    shell.set("FULFILLMENT_DB", "shop.db");
    let store = format!("sqlite:{}", shell.path("shop.db").display());
    fs::write(shell.path("orders.csv"), "product,quantity\nCup,1\nCup,2\n").expect("a file");
    let file = shell.path("orders.csv").display().to_string();
    let columns = ["--column", "product=product", "--column", "quantity=quantity"];
    let submitted = run_to_end(&[&["submit", file.as_str(), "--store", &store], &columns[..]].concat());
    assert!(submitted.status.success(), "{submitted:?}");
    let mut worker = shell.worker(&["--store", &store, "--simulate-latency", "0"]);
    says(&mut worker, "started").await;

    assert!(shell.run(&page.next()).contains("ok"));

    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).expect("the backup").permissions().mode() & 0o777
    };
    assert_eq!(mode(&shell.path("shop-backup.db")), 0o600);
    let copy = format!("sqlite:{}", shell.path("shop-backup.db").display());
    let verified = run_to_end(&["verify", "--store", &copy]);
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn orders_are_pushed_again_as_the_page_says() {
    let mut page = Page::of("docs/BACKUP.md", "orders_are_pushed_again_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    drop(WorkerProcess::ready(&redis.url(), database.url(), &[]).await);
    insert(&database, 3).await;
    let shell = Shell::with_servers(&redis, &database);

    let said = shell.run(&page.next());

    assert_eq!(said.matches("pushed").count(), 3, "{said}");
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    all_fulfilled_once(&database, &redis).await;
}
