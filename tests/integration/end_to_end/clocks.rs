//! A worker whose host has the time wrong. Leases, retries and ages go by the clocks of Redis and Postgres, and waiting by
//! the monotonic clock, so that nothing changes: `tests/integration/support/clock.rs` gives the worker a wall clock of its own.

use serde_json::json;

use crate::support::clock::HostClock;
use crate::support::orders::{all_fulfilled_once, attempts_begun, in_work, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const HOUR_S: i64 = 3_600;
/// How far a clock may seem to be from where it is: readings are seconds old, and the machine may be busy.
const TOLERANCE_S: i64 = 60;

/// Orders for each of the three workers.
const ORDERS: i32 = 5;
/// For what fails at first, by the warehouse's `Retry-After`, in seconds. More than a lease.
const BACKOFF: &str = "12";

/// How far the worker's wall clock is from ours, in whole seconds, as its metrics show.
fn offset_s(worker: &WorkerProcess) -> i64 {
    let read_at = worker.metrics().value("fulfillment_queue_depth_read_timestamp_seconds");
    read_at as i64 - jiff::Timestamp::now().as_second()
}

/// Waits until the worker goes by a clock that is off by so many seconds.
async fn clock_is_off_by(worker: &WorkerProcess, seconds: i64) {
    eventually(LONG, "the worker goes by its own clock", async || {
        let offset = offset_s(worker);
        if (offset - seconds).abs() < TOLERANCE_S { Ok(()) } else { Err(format!("off by {offset} s")) }
    })
    .await;
}

/// How far the time of the first line of the log is from ours, in whole seconds.
fn logged_offset_s(worker: &WorkerProcess) -> i64 {
    let output = worker.output();
    let line: serde_json::Value = serde_json::from_str(output.lines().next().expect("a line")).expect("JSON");
    let time: jiff::Timestamp = line["timestamp"].as_str().expect("a timestamp").parse().expect("RFC 3339");
    time.as_second() - jiff::Timestamp::now().as_second()
}

/// Three workers, two of them with the clock. One with the right time is at work on long calls, which the others must not
/// take for abandoned. One with the clock is, too, and must keep them. The calls of the third fail at first, and must come
/// back neither sooner nor much later than they should. Meanwhile the clock jumps, if it is to.
async fn nothing_changes(clock: HostClock, offset_s: i64, jumps: &[(&str, i64)]) {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let busy = ["--errors", "1", "--error-status", "425", "--error-retry-after-seconds", BACKOFF];
    let warehouse = WarehouseProcess::start(&busy).await;
    let url = format!("http://{}/shipments", warehouse.address());
    let same = ["--lease", "10s", "--concurrency", "5", "--reconcile-interval", "500ms", "--reconcile-grace", "1s"];

    let slow = [&same[..], &["--simulate-latency", "25s", "--call-timeout", "2m"]].concat();
    let right = WorkerProcess::ready(&redis.url(), database.url(), &slow).await;
    place(&database, &redis, ORDERS).await;
    in_work(&database, ORDERS).await;

    let mut wrong = WorkerProcess::start_with(&redis.url(), database.url(), &slow, &clock.environment());
    wrong.wait_until_ready().await;
    assert!((logged_offset_s(&wrong) - offset_s).abs() < TOLERANCE_S, "the clock has no effect: {}", wrong.output());
    place(&database, &redis, ORDERS).await;
    in_work(&database, 2 * ORDERS).await;

    let calling = [&same[..], &["--fulfiller", &url, "--call-timeout", "3s"]].concat();
    let mut calling = WorkerProcess::start_with(&redis.url(), database.url(), &calling, &clock.environment());
    calling.wait_until_ready().await;
    clock_is_off_by(&calling, offset_s).await;
    place(&database, &redis, ORDERS).await;
    eventually(LONG, "every first call has failed", async || {
        let failed = "SELECT count(*) FROM fulfillment.events WHERE state = 'pending' AND attempt = 1";
        expect_equal(database.number(failed).await, i64::from(ORDERS))
    })
    .await;
    warehouse.behave(&json!({}));
    for (offset, seconds) in jumps {
        clock.jump_to(offset);
        clock_is_off_by(&wrong, *seconds).await;
        clock_is_off_by(&calling, *seconds).await;
    }

    all_fulfilled_once(&database, &redis).await;
    assert_eq!(attempts_begun(&database).await, i64::from(2 * ORDERS + 2 * ORDERS), "a second attempt of what failed");
    // Not before their time. Nor an hour after it: whoever is free looks at least once a second, on an idle machine.
    let on_time = "SELECT count(*) FROM fulfillment.events AS failed JOIN fulfillment.events AS next USING (order_id) \
                   WHERE failed.state = 'pending' AND next.state = 'processing' AND next.attempt = 2 \
                   AND next.at - failed.at BETWEEN interval '12 s' AND interval '30 s'";
    assert_eq!(database.number(on_time).await, i64::from(ORDERS), "retries come at their time");
    let elsewhen = "SELECT count(*) FROM fulfillment.events WHERE at NOT BETWEEN \
                    clock_timestamp()::timestamp - interval '10 min' AND clock_timestamp()::timestamp";
    assert_eq!(database.number(elsewhen).await, 0, "transitions are noted with the database's time");
    for worker in [&right, &wrong, &calling] {
        assert_undisturbed(worker).await;
    }
    for mut worker in [wrong, calling] {
        worker.signal(Signal::Term);
        assert!(worker.ended(LONG).await.success());
    }
}

/// Nothing was taken over or adopted, and every age is one that this test can have brought about.
async fn assert_undisturbed(worker: &WorkerProcess) {
    eventually(LONG, "it counts what it did", async || {
        expect_equal(worker.metrics().processed("success"), f64::from(ORDERS))
    })
    .await;
    let metrics = worker.metrics();
    for never in [
        "fulfillment_takeovers_total",
        "fulfillment_superseded_total",
        "fulfillment_leases_lost_total{lease=\"row\"}",
        "fulfillment_leases_lost_total{lease=\"queue\"}",
        "fulfillment_drift_total{kind=\"lost_message\"}",
        "fulfillment_drift_total{kind=\"abandoned_order\"}",
    ] {
        assert_eq!(metrics.value(never), 0.0, "{never}");
    }
    assert_eq!(metrics.value("fulfillment_order_age_at_fulfillment_seconds_count"), f64::from(ORDERS));
    let ages = metrics.value("fulfillment_order_age_at_fulfillment_seconds_sum");
    assert!((1.0..600.0).contains(&ages), "ages of {ages} s in all");
    let took = metrics.value("order_processing_duration_seconds_sum{status=\"success\"}");
    assert!((0.0..600.0).contains(&took), "{took} s from claim to end in all");
    let read = metrics.value("fulfillment_queue_depth_age_seconds");
    assert!((0.0..60.0).contains(&read), "the queue was counted {read} s ago");
}

/// Caught, when seeded: claims that take leases and retries for due by the worker's own clock.
#[tokio::test]
async fn a_clock_that_is_an_hour_ahead_changes_nothing() {
    nothing_changes(HostClock::off_by("+1h"), HOUR_S, &[]).await;
}

/// Caught, when seeded: claims that take leases and retries for due by the worker's own clock.
#[tokio::test]
async fn a_clock_that_is_an_hour_behind_changes_nothing() {
    nothing_changes(HostClock::off_by("-1h"), -HOUR_S, &[]).await;
}

/// Caught, when seeded: claims by the worker's own clock; a keeper that goes by the wall clock.
#[tokio::test]
async fn a_clock_that_jumps_ahead_and_back_changes_nothing() {
    nothing_changes(HostClock::off_by("+0"), 0, &[("+1h", HOUR_S), ("-1h", -HOUR_S)]).await;
}
