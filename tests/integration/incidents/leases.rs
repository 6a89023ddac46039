//! Who holds what, and for how long.

use redis::Commands;
use serde_json::json;

use crate::support::orders::{all_fulfilled_once, attempts_begun, in_state, in_work, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i32 = 10;

/// A worker with this lease. It leaves it to claims alone to bring back what is lost, unless told otherwise.
async fn worker(redis: &RedisServer, database: &TestDatabase, lease: &str, options: &[&str]) -> WorkerProcess {
    let mut all = vec!["--lease", lease, "--call-timeout", "5m", "--reconcile-interval", "0"];
    all.extend(options);
    WorkerProcess::ready(&redis.url(), database.url(), &all).await
}

/// [asynq #1144](https://github.com/hibiken/asynq/issues/1144): tasks were active and had no entry in the set of leases
/// any more, as after an eviction or a failover of Redis. Recovery read that set alone, so they stayed active for ever.
/// Here each claim compares the numbers of records and of leases, and gives a lease to a record that has none.
///
/// Caught, when seeded: a claim that doesn't look for such records.
#[tokio::test]
async fn asynq_1144_a_claimed_message_without_a_lease_is_delivered_again() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    let mut dying = worker(&redis, &database, "2s", &["--simulate-latency", "5m"]).await;
    in_work(&database, ORDERS).await;
    dying.kill().await;
    let removed: redis::RedisResult<u64> =
        redis.connect().and_then(|mut connection| connection.del("{fulfillment_queue}:leases"));
    assert_eq!(removed.expect("an answer to DEL"), 1);

    let next = worker(&redis, &database, "2s", &["--simulate-latency", "0"]).await;
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(next.metrics().value("fulfillment_takeovers_total"), f64::from(ORDERS));
}

/// [sidekiq #4611](https://github.com/sidekiq/sidekiq/issues/4611): when a process started, which an autoscaler has them
/// do often, its search for orphans took live jobs of other processes for lost, one of them three seconds after it had
/// been fetched. They ran twice. Here a start looks for nothing: only leases that are over, by the server's clock, bring
/// a message back, and live work renews them.
///
/// Caught, when seeded: a claim that takes leased messages whatever their time.
#[tokio::test]
async fn sidekiq_4611_workers_that_start_leave_live_work_alone() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    let _busy = worker(&redis, &database, "4s", &["--simulate-latency", "12s"]).await;
    in_work(&database, ORDERS).await;
    let mut started = Vec::new();
    for _ in 0..3 {
        started.push(worker(&redis, &database, "4s", &["--simulate-latency", "0"]).await);
    }

    all_fulfilled_once(&database, &redis).await;
    assert_eq!(attempts_begun(&database).await, i64::from(ORDERS));
    for worker in started {
        let metrics = worker.metrics();
        assert_eq!(metrics.value("fulfillment_takeovers_total"), 0.0);
        assert_eq!(
            metrics.value("fulfillment_retries_total{reason=\"busy\"}"),
            0.0,
            "messages of live work came twice"
        );
    }
}

/// [oban #862](https://github.com/oban-bg/oban/issues/862): a node that restarted under the name it had before was
/// alive as far as anybody could see, so the jobs that it had been executing were never rescued. Here an identity is
/// made afresh at each start, and a lease belongs to a claim, not to whoever has a name.
///
/// Caught, when seeded: a renewal that renews whatever was claimed under the worker's name, with that name from
/// `--service-name`.
#[tokio::test]
async fn oban_862_a_worker_by_the_same_name_does_not_hide_a_dead_one() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    let same = ["--service-name", "worker-1", "--simulate-latency", "5m", "--concurrency", "64"];
    let mut first = worker(&redis, &database, "3s", &same).await;
    in_work(&database, ORDERS).await;
    first.kill().await;

    // The successor has work of its own to keep alive, all the while.
    place(&database, &redis, 2).await;
    let second = worker(&redis, &database, "3s", &same).await;
    in_work(&database, ORDERS + 2).await;
    eventually(LONG, "it takes over what the dead one had", async || {
        expect_equal(second.metrics().value("fulfillment_takeovers_total"), f64::from(ORDERS))
    })
    .await;
    let identities = "SELECT count(DISTINCT worker) FROM fulfillment.timeline";
    assert_eq!(database.number(identities).await, 2);
    assert_eq!(attempts_begun(&database).await, i64::from(2 * ORDERS + 2));
}

/// [kombu #337](https://github.com/celery/kombu/issues/337): a task that was to run later than the visibility timeout
/// allows sat in a worker's memory until then, and counted as abandoned meanwhile. It went back to the queue again and
/// again, and each copy ran. Here a retry waits in the queue for its time and under no lease; the reconciler, which sees a
/// `pending` row that nobody touches, asks the queue first.
///
/// Caught, when seeded: a retry whose time is no later than a lease; a reconciler that doesn't ask the queue.
#[tokio::test]
async fn kombu_337_a_backoff_longer_than_the_lease_is_kept_to() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let busy = ["--errors", "1", "--error-status", "425", "--error-retry-after-seconds", "8"];
    let warehouse = WarehouseProcess::start(&busy).await;
    let url = format!("http://{}/shipments", warehouse.address());
    let haste = ["--reconcile-interval", "300ms", "--reconcile-grace", "1s"];
    let options = [&["--fulfiller", &url, "--lease", "2s", "--call-timeout", "1900ms"][..], &haste].concat();
    let mut workers = Vec::new();
    for _ in 0..2 {
        workers.push(WorkerProcess::ready(&redis.url(), database.url(), &options).await);
    }
    place(&database, &redis, ORDERS).await;
    eventually(LONG, "every first attempt has failed", async || {
        let failed = "SELECT count(*) FROM fulfillment.events WHERE state = 'pending' AND attempt = 1";
        expect_equal(database.number(failed).await, i64::from(ORDERS))
    })
    .await;
    warehouse.behave(&json!({}));
    all_fulfilled_once(&database, &redis).await;

    let early = "SELECT count(*) FROM fulfillment.events AS failed JOIN fulfillment.events AS next USING (order_id) \
                 WHERE failed.state = 'pending' AND failed.attempt = 1 AND next.state = 'processing' \
                 AND next.at > failed.at AND next.at < failed.at + interval '8 s'";
    assert_eq!(database.number(early).await, 0, "attempts began before their time");
    for worker in workers {
        let metrics = worker.metrics();
        assert_eq!(metrics.value("fulfillment_drift_total{kind=\"lost_message\"}"), 0.0, "adopted");
        assert_eq!(metrics.value("fulfillment_takeovers_total"), 0.0);
    }
}

/// [temporal sdk-java #2903](https://github.com/temporalio/sdk-java/pull/2903): a graceful shutdown gave activities time
/// to finish and stopped their heartbeats first. The server took them for dead and had them done again elsewhere, while
/// the worker was still at them. Here leases are renewed until the drain is over.
///
/// Caught, when seeded: a keeper that ends when the drain begins.
#[tokio::test]
async fn temporal_2903_a_drain_keeps_the_leases_of_the_calls_that_it_waits_for() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    let slow = ["--simulate-latency", "12s", "--drain-timeout", "45s"];
    let mut draining = worker(&redis, &database, "4s", &slow).await;
    in_work(&database, ORDERS).await;
    let other = worker(&redis, &database, "4s", &["--simulate-latency", "0"]).await;
    draining.signal(Signal::Term);

    all_fulfilled_once(&database, &redis).await;
    assert_eq!(draining.ended(LONG).await.code(), Some(0));
    assert_eq!(attempts_begun(&database).await, i64::from(ORDERS));
    assert_eq!(other.metrics().processed("success"), 0.0, "taken from a worker that was at them");
    assert_eq!(in_state(&database, "fulfilled").await, i64::from(ORDERS));
}
