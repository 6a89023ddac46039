//! SIGTERM under load: nothing is left in hand, and nothing has to wait for a lease.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::support::orders::{in_state, not_fulfilled_exactly_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{BUSY, LONG, eventually, expect_equal};

const ORDERS: i32 = 60;

/// A worker with ten orders in hand that none of its calls will finish in time.
async fn worker_with_long_calls(redis: &RedisServer, database: &TestDatabase, options: &[&str]) -> WorkerProcess {
    let mut all = vec!["--simulate-latency", "30s..60s", "--call-timeout", "2m", "--concurrency", "10"];
    all.extend(options);
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &all).await;
    eventually(LONG, "ten orders are in work", async || expect_equal(in_state(database, "processing").await, 10)).await;
    worker
}

/// A worker that finishes whatever is there; returns once everything is.
async fn finish_everything(redis: &RedisServer, database: &TestDatabase, options: &[&str]) {
    let mut all = vec!["--simulate-latency", "0"];
    all.extend(options);
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &all).await;
    eventually(LONG, "every order is fulfilled", async || {
        expect_equal(in_state(database, "fulfilled").await, i64::from(ORDERS))
    })
    .await;
    assert_eq!(not_fulfilled_exactly_once(database).await, 0, "orders without exactly one `fulfilled` event");
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
}

/// Caught, when seeded: a drain that leaves its rows `processing`; a hand-back that spends the attempt.
#[tokio::test]
async fn a_drain_hands_back_what_it_cannot_finish_so_that_the_next_start_takes_it_at_once() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    // Were anything left under its lease, the next worker would have to wait longer than this test does.
    let lease = ["--lease", "10m"];
    let mut worker = worker_with_long_calls(&redis, &database, &["--drain-timeout", "3s", lease[0], lease[1]]).await;

    let asked = Instant::now();
    worker.signal(Signal::Term);
    let status = worker.ended(LONG).await;

    assert_eq!(status.code(), Some(0), "{}", worker.output());
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(3) + BUSY, "a drain of at most 3 s took {took:?}");
    assert_eq!(in_state(&database, "processing").await, 0, "rows left in work");
    assert_eq!(in_state(&database, "pending").await, i64::from(ORDERS));
    let leases = format!("{{{}}}:leases", crate::support::redis::QUEUE_KEY);
    assert!(!redis.keys().contains(&leases), "messages left under a lease: {:?}", redis.keys());

    finish_everything(&redis, &database, &lease).await;
    let spent = "SELECT count(*) FROM fulfillment.events WHERE state = 'fulfilled' AND attempt <> 1";
    assert_eq!(database.number(spent).await, 0, "a hand-back spends no attempt");
}

/// Caught, when seeded: a drain that hands back at once.
#[tokio::test]
async fn a_drain_lets_calls_finish_that_end_in_time() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    let options = ["--simulate-latency", "1s", "--concurrency", "10"];
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    eventually(LONG, "ten orders are in work", async || expect_equal(in_state(&database, "processing").await, 10))
        .await;

    worker.signal(Signal::Int);
    assert_eq!(worker.ended(LONG).await.code(), Some(0));

    let (fulfilled, pending) = (in_state(&database, "fulfilled").await, in_state(&database, "pending").await);
    assert!(fulfilled >= 10, "only {fulfilled} of the ten in work were finished");
    assert_eq!(fulfilled + pending, i64::from(ORDERS));
}

async fn ended_by_a_second(signal: Signal, worker: &mut WorkerProcess) -> ExitStatus {
    worker.signal(signal);
    eventually(LONG, "the worker drains", async || worker.answers("/readyz", 503)).await;
    let asked = Instant::now();
    worker.signal(signal);
    let status = worker.ended(LONG).await;
    let took = asked.elapsed();
    assert!(took < BUSY, "a second signal took {took:?} to end the worker");
    status
}

/// The code that a shell shows for it.
fn shell_code(status: ExitStatus) -> Option<i32> {
    status.code().or(status.signal().map(|signal| 128 + signal))
}

/// Caught, when seeded: a second signal that is not listened for.
#[tokio::test]
async fn a_second_sigterm_ends_the_worker_at_once_with_143_and_loses_nothing() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    let lease = ["--lease", "2s"];
    let mut worker = worker_with_long_calls(&redis, &database, &lease).await;

    let status = ended_by_a_second(Signal::Term, &mut worker).await;

    assert_eq!(shell_code(status), Some(143));
    finish_everything(&redis, &database, &lease).await;
}

#[tokio::test]
async fn a_second_sigint_ends_the_worker_at_once_with_130() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    let mut worker = worker_with_long_calls(&redis, &database, &[]).await;

    let status = ended_by_a_second(Signal::Int, &mut worker).await;

    assert_eq!(shell_code(status), Some(130));
}

/// Caught on the code before, which each of them ended.
#[tokio::test]
async fn signals_that_mean_nothing_to_a_worker_leave_it_at_work_and_a_line_in_its_log() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    for (signal, name) in
        [(Signal::HangUp, "SIGHUP: files"), (Signal::User1, "SIGUSR1 does"), (Signal::User2, "SIGUSR2 does")]
    {
        worker.signal(signal);
        eventually(LONG, "a line about the signal", async || {
            let told = worker.output();
            if told.contains(name) { Ok(()) } else { Err(told) }
        })
        .await;
    }
    place(&database, &redis, ORDERS).await;
    eventually(LONG, "it works on", async || expect_equal(in_state(&database, "fulfilled").await, i64::from(ORDERS)))
        .await;
    worker.signal(Signal::Term);
    assert_eq!(worker.ended(LONG).await.code(), Some(0));
}
