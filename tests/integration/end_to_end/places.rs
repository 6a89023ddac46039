//! What a worker takes that has as many calls under way as it may: nothing, or so little that it costs nobody anything.

use crate::support::orders::{all_fulfilled_once, in_state, in_work, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const FOUR_LONG_CALLS: [&str; 6] = ["--concurrency", "4", "--simulate-latency", "30s", "--call-timeout", "30m"];
/// Of a worker that claims whatever it can get, so that orders wait for a place.
const ONE_LONG_CALL: [&str; 8] =
    ["--concurrency", "1", "--simulate-latency", "10m", "--call-timeout", "30m", "--drain-timeout", "10m"];
const GREEDY: (&str, &str) = ("FULFILLMENT_MUTANT", "claims-without-place");
const NO_TIME: [&str; 4] = ["--simulate-latency", "0", "--simulate-failures", "0"];
const BEGUN: &str = "SELECT count(DISTINCT order_id) FROM fulfillment.events";
const SPENT: &str = "SELECT count(DISTINCT order_id) FROM fulfillment.events WHERE attempt > 1";

/// Whoever claims ahead of long calls has more than its share.
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_calls_of_thirty_seconds_evenly() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let first = WorkerProcess::ready(&redis.url(), database.url(), &FOUR_LONG_CALLS).await;
    place(&database, &redis, 8).await;
    in_work(&database, 4).await;
    let second = WorkerProcess::ready(&redis.url(), database.url(), &FOUR_LONG_CALLS).await;
    for worker in [&first, &second] {
        eventually(LONG, "each has four calls", async || {
            let calls = worker.metrics().value(r#"fulfillment_dependency_calls_under_way{dependency="fulfiller"}"#);
            expect_equal(calls, 4.0)
        })
        .await;
        let metrics = worker.metrics();
        assert_eq!(metrics.value("fulfillment_call_places_taken"), metrics.value("fulfillment_call_places"));
    }
}

/// Caught, when seeded: the mutant `claims-without-place`.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_spends_an_attempt_on_no_more_orders_than_there_are_calls() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &FOUR_LONG_CALLS).await;
    place(&database, &redis, 50).await;
    in_work(&database, 4).await;
    worker.kill().await;
    assert_eq!(database.number(BEGUN).await, 4);
    let _next = WorkerProcess::ready(&redis.url(), database.url(), &NO_TIME).await;
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(database.number(SPENT).await, 4);
}

/// Only a bug makes a worker wait with all of them for sure; what becomes of them is the same.
async fn with_orders_that_wait_for_their_place() -> (RedisServer, TestDatabase, WorkerProcess) {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut worker = WorkerProcess::start_with(&redis.url(), database.url(), &ONE_LONG_CALL, &[GREEDY]);
    worker.wait_until_ready().await;
    place(&database, &redis, 20).await;
    in_work(&database, 20).await;
    (redis, database, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_wait_for_their_place_when_their_worker_is_killed_are_fulfilled_by_the_next() {
    let (redis, database, mut worker) = with_orders_that_wait_for_their_place().await;
    worker.kill().await;
    let _next = WorkerProcess::ready(&redis.url(), database.url(), &NO_TIME).await;
    all_fulfilled_once(&database, &redis).await;
}

/// Caught, when seeded: orders that wait for a place, however long, until the drain breaks off calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_hands_back_at_once_what_waits_for_its_place_and_spends_no_attempt() {
    let (redis, database, mut worker) = with_orders_that_wait_for_their_place().await;
    worker.signal(Signal::Term);
    in_work(&database, 1).await;
    assert_eq!(worker.status(), None, "its call goes on: {}", worker.output());
    assert_eq!(in_state(&database, "pending").await, 19);
    assert_eq!(database.number(SPENT).await, 0);
    worker.kill().await;
    let _next = WorkerProcess::ready(&redis.url(), database.url(), &NO_TIME).await;
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(database.number(SPENT).await, 1, "of the call that was killed");
}
