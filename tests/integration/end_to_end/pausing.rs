//! Pauses, quiet workers and limits, of real workers.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::orders::{all_fulfilled_once, in_work, place};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

const QUICK: [&str; 6] = ["--simulate-latency", "20ms..30ms", "--simulate-failures", "0.05", "--concurrency", "8"];
const BEGUN: &str = "SELECT count(*) FROM fulfillment.events WHERE state = 'processing'";
const FULFILLED: &str = "SELECT count(*) FROM orders WHERE status = 'fulfilled'";

/// Runs a command that changes or lists something, and reads its JSON.
fn command(redis: &RedisServer, store: &str, words: &[&str]) -> Result<Value, String> {
    let url = redis.url();
    let output = run_to_end(&[words, &["--json", "--queue", &url, "--store", store]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

fn pause(redis: &RedisServer, store: &str) -> Value {
    command(redis, store, &["pause", "--why", "the warehouse moves", "--actor", "ann"]).unwrap()
}

fn resume(redis: &RedisServer, store: &str) {
    command(redis, store, &["resume", "--why", "moved", "--actor", "ann"]).unwrap();
}

async fn is_idle(worker: &WorkerProcess) {
    eventually(LONG, "nothing is in flight", async || {
        expect_equal(worker.metrics().value("fulfillment_orders_in_flight"), 0.0)
    })
    .await;
}

/// Claims nothing, by the queue's own count of what is claimed and what waits.
async fn claims_nothing(database: &TestDatabase) {
    let before = database.number(BEGUN).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(database.number(BEGUN).await, before, "something was claimed while the fleet was paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_under_load_claim_nothing_after_a_pause_until_it_ends() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await);
    }
    place(&database, &redis, 4_000).await;
    eventually(LONG, "all are busy", async || match database.number(FULFILLED).await {
        0..100 => Err("few"),
        _ => Ok(()),
    })
    .await;
    let paused = pause(&redis, database.url());
    assert_eq!(paused["holding"].as_array().unwrap().len(), 4, "{paused}");
    assert_eq!(paused["outstanding"].as_array().unwrap().len(), 0, "{paused}");
    for worker in &workers {
        is_idle(worker).await;
        assert_eq!(worker.metrics().value("fulfillment_paused"), 1.0);
        worker.answers("/readyz", 200).unwrap();
        assert!(
            worker.get("/readyz", &[]).text().contains("fleet paused since"),
            "{}",
            worker.get("/readyz", &[]).text()
        );
    }
    assert!(database.number(FULFILLED).await < 4_000, "nothing was left to claim");
    claims_nothing(&database).await;
    // It survives a restart, and a worker that drains meanwhile ends.
    let mut first = workers.remove(0);
    first.signal(Signal::Term);
    assert!(first.ended(LONG).await.success());
    workers.push(WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await);
    claims_nothing(&database).await;
    let listed = command(&redis, database.url(), &["workers"]).unwrap();
    let states: Vec<&str> =
        listed["workers"].as_array().unwrap().iter().map(|w| w["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["paused"; 4], "{listed}");
    resume(&redis, database.url());
    all_fulfilled_once(&database, &redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_worker_leaves_the_work_to_others_and_an_unknown_one_is_named() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let quiet = WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await;
    let listed = eventually(LONG, "it reports", async || {
        let listed = command(&redis, database.url(), &["workers"])?;
        listed["workers"][0]["worker"].as_str().map(str::to_owned).ok_or(listed.to_string())
    })
    .await;
    let answer = command(&redis, database.url(), &["quiet", &listed, "--why", "its host", "--actor", "ann"]).unwrap();
    assert_eq!(answer["holding"][0].as_str(), Some(&*listed));
    let other = WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await;
    place(&database, &redis, 200).await;
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(quiet.metrics().processed("success"), 0.0);
    assert_eq!(quiet.metrics().value("fulfillment_quiet"), 1.0);
    assert_eq!(other.metrics().processed("success"), 200.0);
    let unknown = command(&redis, database.url(), &["quiet", "nobody", "--why", "x", "--actor", "ann"]).unwrap_err();
    assert!(unknown.contains("the registry has no worker nobody"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_concurrency_lets_calls_finish_and_admits_fewer() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let options = ["--concurrency", "20", "--simulate-latency", "2s..3s"];
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    place(&database, &redis, 60).await;
    in_work(&database, 20).await;
    let limit = ["limit", "concurrency", "3", "--why", "slow", "--actor", "ann", "--for", "1h"];
    let set = command(&redis, database.url(), &limit).unwrap();
    assert_eq!((set["controls"][0]["value"].as_f64(), set["controls"][0]["worker"].is_null()), (Some(3.0), true));
    let calls = || worker.metrics().value(r#"fulfillment_dependency_calls_under_way{dependency="fulfiller"}"#);
    eventually(LONG, "three calls", async || if calls() == 3.0 { Ok(()) } else { Err(calls()) }).await;
    for _ in 0..30 {
        assert!(calls() <= 3.0, "{}", calls());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    command(&redis, database.url(), &["limit", "concurrency", "off", "--why", "fast", "--actor", "ann"]).unwrap();
    eventually(LONG, "more calls", async || if calls() > 3.0 { Ok(()) } else { Err(calls()) }).await;
    all_fulfilled_once(&database, &redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_bounds_what_is_claimed_in_a_second() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    command(&redis, database.url(), &["limit", "rate", "20", "--why", "slow", "--actor", "ann"]).unwrap();
    eventually(LONG, "it is in force", async || {
        expect_equal(worker.metrics().value("fulfillment_claim_rate_limit"), 20.0)
    })
    .await;
    let began = Instant::now();
    place(&database, &redis, 60).await;
    all_fulfilled_once(&database, &redis).await;
    assert!(began.elapsed() > Duration::from_millis(2_700), "{:?}", began.elapsed());
    let wrong = command(&redis, database.url(), &["limit", "rate", "0", "--why", "x", "--actor", "ann"]).unwrap_err();
    assert!(wrong.contains("from 0.001 to 1000000"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stays_in_force_while_the_store_is_down_and_a_killed_worker_is_shown_with_what_it_held() {
    let (redis, mut server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    // Long enough that a machine which stands still for some seconds costs it no order: paused, it would not take one back.
    let options = ["--concurrency", "5", "--simulate-latency", "10m", "--call-timeout", "30m", "--lease", "8s"];
    let mut killed = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    place(&database, &redis, 5).await;
    // Not by the rows: where the answer to a begin was late, an order is begun again later, which a pause would keep it from.
    eventually(LONG, "it calls for each", async || {
        expect_equal(killed.metrics().value("fulfillment_attempts_started_total"), 5.0)
    })
    .await;
    pause(&redis, database.url());
    eventually(LONG, "its entry is renewed", async || {
        let listed = command(&redis, database.url(), &["workers"])?;
        expect_equal(listed["workers"][0]["row_leases"].as_u64(), Some(5))
    })
    .await;
    killed.kill().await;
    eventually(LONG, "it is dead", async || {
        let listed = command(&redis, database.url(), &["workers"])?;
        let one = &listed["workers"][0];
        expect_equal((one["state"].as_str(), one["in_flight"].as_u64()), (Some("dead"), Some(5)))
    })
    .await;
    let next = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0", "--lease", "3s"]).await;
    server.stop_immediately().await;
    eventually(LONG, "it is noticed", async || expect_equal(next.metrics().value("fulfillment_controls_unread"), 1.0))
        .await;
    server.restart().await;
    eventually(LONG, "it is read again", async || {
        expect_equal(next.metrics().value("fulfillment_controls_unread"), 0.0)
    })
    .await;
    assert_eq!(next.metrics().value("fulfillment_attempts_started_total"), 0.0);
    assert_eq!(next.metrics().value("fulfillment_paused"), 1.0);
    resume(&redis, database.url());
    all_fulfilled_once(&database, &redis).await;
}
