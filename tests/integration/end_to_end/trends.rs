//! The history of the day, written by real workers.

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::postgres::{PostgresStore, PostgresStoreOptions};
use fulfillment_worker::config::SecretUrl;
use fulfillment_worker::event::Observers;
use fulfillment_worker::operations::trends::{Day, read};

use crate::support::orders::{in_state, insert, place, push};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{BUSY, LONG, eventually, expect_equal};

const QUICK: [&str; 2] = ["--simulate-latency", "0"];
const WRITTEN: &str = "SELECT coalesce(sum((counts->>'fulfilled')::int8), 0)::int8 FROM fulfillment.trends";
const KEPT: &str = "fulfillment_trends_unwritten";

/// The last ten minutes, as a page reads them.
async fn day(database: &TestDatabase) -> Day {
    let (url, worker) = (SecretUrl::new(database.url().parse().unwrap()), WorkerId::fresh());
    let options = PostgresStoreOptions { worker, lease: LONG, events: true, connections: 1 };
    let store = PostgresStore::connect(&url, options, Observers::default()).unwrap();
    read(&store, 10).await.unwrap()
}

async fn fulfilled(database: &TestDatabase, orders: i64) {
    eventually(LONG, "the orders are fulfilled", async || expect_equal(in_state(database, "fulfilled").await, orders))
        .await;
}

/// Caught, when seeded: a worker that ends without a last write.
#[tokio::test]
async fn a_restarted_worker_and_a_second_one_have_the_day() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut first = WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await;
    eventually(LONG, "the first row is written", async || {
        expect_equal(database.number("SELECT least(count(*), 1) FROM fulfillment.trends").await, 1)
    })
    .await;
    place(&database, &redis, 20).await;
    fulfilled(&database, 20).await;
    first.signal(Signal::Term);
    assert!(first.ended(LONG).await.success());
    assert_eq!(database.number(WRITTEN).await, 20, "the last row is written on the way out");

    let workers = [
        WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await,
        WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await,
    ];
    place(&database, &redis, 30).await;
    fulfilled(&database, 50).await;
    let total = eventually(LONG, "all is in the day", async || {
        let total = day(&database).await.total(10);
        let counted = total.merged.as_ref().map(|merged| (merged.counts.fulfilled, merged.counts.last.pending));
        expect_equal((counted, total.arrivals), (Some((50, Some(0))), 50)).map(|()| total)
    })
    .await;
    let counts = total.merged.unwrap().counts;
    assert_eq!((counts.attempts_started, counts.calls.fulfilled, counts.age.total()), (50, 50, 50));
    assert!(counts.queue.took.total() > 0 && counts.store.took.total() > 0, "{counts:?}");
    assert!(workers[0].metrics().value("fulfillment_trends_written_total") > 0.0);
}

/// Caught, when seeded: minutes that are dropped when the next one ends.
#[tokio::test]
async fn minutes_of_an_outage_of_the_store_are_written_afterwards() {
    let redis = RedisServer::start().await;
    let mut postgres = PostgresServer::start().await;
    let database = postgres.database().await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await;
    eventually(LONG, "the first row is written", async || {
        if worker.metrics().value("fulfillment_trends_written_total") > 0.0 { Ok(()) } else { Err("none") }
    })
    .await;
    postgres.stop_immediately().await;
    // Two minutes turn, so that one has nothing but the outage.
    eventually(3 * LONG, "minutes are kept", async || {
        let kept = worker.metrics().value(KEPT);
        if kept >= 2.0 { Ok(()) } else { Err(format!("{kept} are kept")) }
    })
    .await;
    postgres.restart().await;
    eventually(LONG, "all are written", async || expect_equal(worker.metrics().value(KEPT), 0.0)).await;
    assert!(worker.metrics().value("fulfillment_trends_write_failures_total") > 0.0);
    let day = day(&database).await;
    let first = day.minutes().iter().position(Option::is_some).unwrap();
    assert!(day.minutes()[first..].iter().all(Option::is_some), "an outage is no gap: {day:?}");
    let down: Vec<u64> = day.minutes().iter().flatten().map(|minute| minute.counts.store.down_ms).collect();
    assert!(down.iter().any(|down_ms| *down_ms > 50_000), "for a whole minute it was down: {down:?}");
}

/// Caught, when seeded: a minute that is written when it is over.
#[tokio::test]
async fn a_worker_that_is_killed_loses_the_last_seconds_and_no_more() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let options = ["--simulate-latency", "0", "--reconcile-interval", "0"];
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    push(&redis, &insert(&database, 30).await);
    fulfilled(&database, 30).await;
    let limit = BUSY + std::time::Duration::from_secs(5);
    eventually(limit, "they are written within 5 s", async || expect_equal(database.number(WRITTEN).await, 30)).await;
    worker.kill().await;
    assert_eq!(database.number(WRITTEN).await, 30);
    let _other = WorkerProcess::ready(&redis.url(), database.url(), &QUICK).await;
    let total = day(&database).await.total(10).merged.unwrap();
    assert_eq!(total.counts.fulfilled, 30);
}
