//! A day of a real shop's orders, from the CSV file to the fulfilled rows, with a worker killed on the way.

use std::collections::HashMap;
use std::path::Path;

use crate::support::orders::{in_state, not_fulfilled_exactly_once};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::{WorkerProcess, run_to_end, test_data};
use crate::support::{LONG, eventually, expect_equal};

/// Lines of the file, counted from 1, that are returns or discounts.
const RETURNS: [u32; 10] = [143, 156, 237, 238, 239, 240, 241, 242, 243, 941];
/// The others, without the header.
const ORDERS: i64 = 989;
/// Slow enough that a worker is killed in the middle of its work, and a lease that is over soon after.
const OPTIONS: [&str; 6] = ["--simulate-latency", "20ms..60ms", "--lease", "2s", "--concurrency", "8"];

/// `submit` of the real orders, with further options.
fn submit(queue: &str, store: &str, options: &[&str]) -> std::process::Output {
    let file = test_data("online-retail-2010-12-01.csv");
    let columns = ["--column", "product=Description", "--column", "quantity=Quantity", "--column", "price=UnitPrice"];
    let mut arguments = vec!["submit", &file, "--queue", queue, "--store", store];
    arguments.extend(columns);
    arguments.extend(options);
    run_to_end(&arguments)
}

fn submit_the_good_ones(queue: &str, store: &str, rejects: &Path) {
    let rejects = rejects.to_str().expect("a path of a temporary folder");
    let output = submit(queue, store, &["--skip-invalid", "--rejects", rejects]);
    assert!(output.status.success(), "submit failed: {}", String::from_utf8_lossy(&output.stderr));
}

/// Caught, when seeded: a `submit` that names the bad lines and goes on.
#[tokio::test]
async fn a_file_with_invalid_lines_is_turned_away_whole_with_each_line_named() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);

    let output = submit(&redis.url(), database.url(), &[]);

    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    for line in RETURNS {
        let named = message.split(|c: char| !c.is_ascii_digit()).any(|number| number == line.to_string());
        assert!(named, "line {line} is not named: {message}");
    }
    assert_eq!(database.number("SELECT count(*) FROM orders").await, 0, "rows were inserted all the same");
    assert_eq!(redis.keys(), Vec::<String>::new(), "messages were pushed all the same");
}

#[tokio::test]
async fn invalid_lines_are_set_aside_on_request_and_the_rest_is_submitted() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let folder = tempfile::tempdir().expect("a folder");
    let rejects = folder.path().join("rejects.csv");

    submit_the_good_ones(&redis.url(), database.url(), &rejects);

    assert_eq!(in_state(&database, "pending").await, ORDERS);
    let mut connection = redis.connect().expect("a connection to Redis");
    let waiting: i64 = redis::cmd("LLEN").arg(QUEUE_KEY).query(&mut connection).expect("an answer to LLEN");
    assert_eq!(waiting, ORDERS);
    let rejected = std::fs::read_to_string(&rejects).expect("the file of rejects");
    assert_eq!(rejected.lines().filter(|line| line.contains(",-")).count(), RETURNS.len(), "{rejected}");
}

/// Caught, when seeded: a Postgres row whose lease is never over, so that nobody takes it over.
#[tokio::test]
async fn two_workers_fulfil_every_order_once_although_one_is_killed_half_way() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let folder = tempfile::tempdir().expect("a folder");
    submit_the_good_ones(&redis.url(), database.url(), &folder.path().join("rejects.csv"));

    let survivor = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;
    let mut victim = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;
    eventually(LONG, "half of the orders are fulfilled", async || {
        let fulfilled = in_state(&database, "fulfilled").await;
        if fulfilled >= ORDERS / 2 { Ok(()) } else { Err(format!("{fulfilled} fulfilled")) }
    })
    .await;
    victim.kill().await;
    eventually(LONG, "every order is fulfilled", async || expect_equal(in_state(&database, "fulfilled").await, ORDERS))
        .await;

    assert_eq!(not_fulfilled_exactly_once(&database).await, 0, "orders without exactly one `fulfilled` event");
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    let by_worker = fulfilled_by_worker(&database).await;
    assert_eq!(by_worker.len(), 2, "both workers took part: {by_worker:?}");
    assert_eq!(by_worker.values().sum::<i64>(), ORDERS);
    let log = survivor.output();
    let own: Vec<i64> = by_worker.iter().filter(|(name, _)| log.contains(*name)).map(|(_, count)| *count).collect();
    assert_eq!(own.len(), 1, "the survivor's log names itself and nobody else of {by_worker:?}");
    eventually(LONG, "the survivor's metric equals its rows", async || {
        expect_equal(survivor.metrics().processed("success"), own[0] as f64)
    })
    .await;
}

async fn fulfilled_by_worker(database: &TestDatabase) -> HashMap<String, i64> {
    let sql = "SELECT worker, count(*) FROM fulfillment.timeline WHERE state = 'fulfilled' GROUP BY worker";
    database.query(sql, &[]).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Caught, when seeded: an embedded row whose lease is never over.
#[tokio::test]
async fn the_embedded_worker_fulfils_every_order_once_although_it_is_killed_half_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("fulfillment.db");
    let url = format!("sqlite:{}", file.display());
    submit_the_good_ones(&url, &url, &folder.path().join("rejects.csv"));

    let mut worker = WorkerProcess::ready(&url, &url, &OPTIONS).await;
    eventually(LONG, "half of the orders are fulfilled", async || {
        let success = worker.metrics().processed("success");
        if success >= (ORDERS / 2) as f64 { Ok(()) } else { Err(format!("{success} fulfilled")) }
    })
    .await;
    worker.kill().await;

    let database = rusqlite::Connection::open(&file).expect("the embedded database");
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect(sql);
    let before = number("SELECT count(*) FROM orders WHERE status = 'fulfilled'");
    let mut worker = WorkerProcess::ready(&url, &url, &OPTIONS).await;
    eventually(LONG, "every order is fulfilled", async || {
        expect_equal(number("SELECT count(*) FROM orders WHERE status = 'fulfilled'"), ORDERS)
    })
    .await;

    let repeated = "SELECT count(*) FROM orders o WHERE 1 <> \
                    (SELECT count(*) FROM fulfillment_events e WHERE e.order_id = o.id AND e.state = 'fulfilled')";
    assert_eq!(number(repeated), 0, "orders without exactly one `fulfilled` event");
    eventually(LONG, "the metric equals the rows of the second run", async || {
        expect_equal(worker.metrics().processed("success"), (ORDERS - before) as f64)
    })
    .await;
    worker.signal(Signal::Term);
    assert!(worker.ended(LONG).await.success());
}
