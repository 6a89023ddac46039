//! The way back to another consumer, which knows the list and none of the worker's keys.

use std::time::Duration;

use redis::Commands;
use serde_json::Value;

use crate::support::orders::{in_state, in_work, insert, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

/// Calls that don't end before the drain does.
const LONG_CALLS: [&str; 8] =
    ["--simulate-latency", "60s", "--call-timeout", "2m", "--concurrency", "10", "--drain-timeout", "2s"];

/// Runs a command on them, and returns its exit code and what it has said.
fn command(redis: &RedisServer, database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run_to_end(&[arguments, &["--queue", &redis.url(), "--store", database.url()]].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Takes messages as another consumer would, and returns their bytes.
fn taken(redis: &RedisServer) -> Vec<String> {
    let mut connection = redis.connect().expect("a connection to Redis");
    std::iter::from_fn(|| connection.rpop(QUEUE_KEY, None).expect("an answer to RPOP")).collect()
}

fn message(id: i32) -> String {
    serde_json::json!({"order_id": id, "product_id": 1, "quantity": 1}).to_string()
}

async fn stopped(worker: &mut WorkerProcess) {
    worker.signal(Signal::Term);
    assert_eq!(worker.ended(LONG).await.code(), Some(0), "{}", worker.output());
}

/// Caught, when it was written: after a clean stop ten messages stay where no other consumer looks.
#[tokio::test]
async fn after_a_clean_stop_every_message_goes_back_on_the_list_untouched_and_the_oldest_first() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = place(&database, &redis, 25).await;
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &LONG_CALLS).await;
    in_work(&database, 10).await;
    stopped(&mut worker).await;

    let (code, said, _) = command(&redis, &database, &["hand-back", "--dry-run"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("dry run, nothing changed: 10 messages to put back"), "{said}");
    assert_ne!(redis.keys(), [QUEUE_KEY], "a dry run puts nothing back");

    let (code, said, problem) = command(&redis, &database, &["hand-back", "--json"]);
    assert_eq!(code, Some(0), "{problem}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["messages"], &said["returned"], &said["attempts"]), (&10.into(), &10.into(), &0.into()));
    assert_eq!(redis.keys(), [QUEUE_KEY]);
    let (code, again, _) = command(&redis, &database, &["hand-back"]);
    assert_eq!(code, Some(0));
    assert!(again.starts_with("0 messages put back on `fulfillment_queue`"), "{again}");

    assert_eq!(taken(&redis), ids.into_iter().map(message).collect::<Vec<_>>());
}

#[tokio::test]
async fn attempts_and_delays_that_are_lost_are_told_and_the_next_worker_begins_again() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 5).await;
    let failing = ["--simulate-latency", "0", "--simulate-failures", "1", "--retry-base", "1h", "--retry-cap", "1h"];
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &failing).await;
    let retried = "SELECT count(DISTINCT order_id) FROM fulfillment.events WHERE state = 'pending'";
    eventually(LONG, "all have failed", async || expect_equal(database.number(retried).await, 5)).await;
    stopped(&mut worker).await;

    let (code, said, _) = command(&redis, &database, &["hand-back"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("5 messages put back on `fulfillment_queue`"), "{said}");
    assert!(said.contains("lost    5 attempts of 5 messages"), "{said}");
    assert!(said.contains("lost    5 delays, the longest "), "{said}");

    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    eventually(LONG, "all are fulfilled", async || expect_equal(in_state(&database, "fulfilled").await, 5)).await;
}

#[tokio::test]
async fn it_refuses_while_a_worker_holds_messages_unless_it_is_forced() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = place(&database, &redis, 12).await;
    let options = [&LONG_CALLS[..], &["--lease", "10m"]].concat();
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    in_work(&database, 10).await;
    worker.kill().await;

    for arguments in [&["hand-back"][..], &["hand-back", "--dry-run"]] {
        let (code, _, said) = command(&redis, &database, arguments);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("10 of 10 claimed messages under live leases: stop the workers first"), "{said}");
    }
    let (code, said, problem) = command(&redis, &database, &["hand-back", "--force"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(said.contains("10 messages put back") && said.contains("lost    10 attempts of 10 messages"), "{said}");
    assert_eq!(taken(&redis), ids.into_iter().map(message).collect::<Vec<_>>());
}

#[tokio::test]
async fn run_with_drain_to_list_leaves_what_it_held_on_the_list_and_the_oldest_first() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = place(&database, &redis, 25).await;
    let options = [&["--drain-to-list"][..], &LONG_CALLS].concat();
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    in_work(&database, 10).await;
    stopped(&mut worker).await;

    assert_eq!(redis.keys(), [QUEUE_KEY]);
    assert_eq!(taken(&redis), ids.into_iter().map(message).collect::<Vec<_>>());
    assert_eq!(in_state(&database, "pending").await, 25, "rows as another consumer expects them");
    assert!(worker.output().contains("put messages back on the list"), "{}", worker.output());
}

#[tokio::test]
async fn verify_says_when_claimed_messages_are_due_and_nobody_takes_them() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 12).await;
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &LONG_CALLS).await;
    in_work(&database, 10).await;
    let overdue = || {
        let (_, said, problem) = command(&redis, &database, &["verify", "--json"]);
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{problem}"));
        said["overdue"].as_u64().expect("a number")
    };
    assert_eq!(overdue(), 0, "a worker is at work on them");
    stopped(&mut worker).await;

    let wait = Duration::from_secs(6);
    eventually(LONG + wait, "verify says so", async || expect_equal(overdue(), 10)).await;
    let (code, said, _) = command(&redis, &database, &["verify"]);
    assert_eq!(code, Some(0), "every order has a message");
    assert!(said.contains("taken by no worker: start one, or `hand-back` gives them to another consumer"), "{said}");
}

#[tokio::test]
async fn a_message_over_64_kib_stays_and_hand_back_says_so() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    insert(&database, 1).await;
    redis.cli_push(&vec![b'y'; 70_000]);
    redis.cli_push(b"{}");
    // Claimed, and nothing else: no worker lives longer.
    let mut worker = WorkerProcess::start_with(
        &redis.url(),
        database.url(),
        &["--lease", "1s"],
        &[("FULFILLMENT_FAILPOINT", "after-claim=kill")],
    );
    worker.ended(LONG).await;

    let said = eventually(LONG, "the leases are over", async || match command(&redis, &database, &["hand-back"]) {
        (Some(0), said, _) => Ok(said),
        (_, _, problem) => Err(problem),
    })
    .await;
    assert!(said.contains("1 message put back"), "{said}");
    assert!(said.contains("stay    1 message over 64 KiB: only the first 64 KiB are kept"), "{said}");
    assert_eq!(taken(&redis), ["{}"]);
}
