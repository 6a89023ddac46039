//! A primary that is taken out of duty, and goes on answering.

use std::time::Duration;

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::store::OrderStore;

use crate::failover::Pair;
use crate::postgres_store::{LEASE, open};
use crate::support::orders::{all_fulfilled_once, in_state, insert, place};
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::BeginRequest;

const OURS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'fulfillment-worker %'";

/// Caught, when seeded: idle connections that stay until somebody uses them.
#[tokio::test]
async fn a_planned_switchover_moves_every_connection_to_the_new_primary_and_costs_no_attempt() {
    let (redis, pair) = (RedisServer::start().await, Pair::start().await);
    let options = ["--simulate-latency", "20ms..60ms", "--concurrency", "16", "--lease", "4s"];
    let mut worker = WorkerProcess::ready(&redis.url(), &pair.url(), &options).await;
    let (old, new) = (pair.primary.same_database(), pair.standby.same_database());
    place(&old, &redis, 400).await;
    eventually(LONG, "the work has begun", async || {
        let fulfilled = in_state(&old, "fulfilled").await;
        if fulfilled >= 50 { Ok(()) } else { Err(fulfilled) }
    })
    .await;
    pair.demote().await;
    pair.catch_up().await;
    let left = in_state(&old, "fulfilled").await;
    pair.standby.promote().await;
    all_fulfilled_once(&new, &redis).await;
    eventually(LONG, "no connection is left at the old one", async || expect_equal(old.number(OURS).await, 0)).await;
    assert_eq!(in_state(&old, "fulfilled").await, left, "nothing is written there any more");
    assert_eq!(new.number("SELECT count(*) FROM fulfillment.dead_letters").await, 0);
    assert_eq!(new.number("SELECT count(*) FROM fulfillment.events WHERE attempt > 1").await, 0, "attempts were spent");
    worker.wait_until_ready().await;
}

/// Caught, when seeded: a pool that drops the connection that was refused, and keeps the others.
#[tokio::test]
async fn one_refused_write_drops_the_other_connections_of_its_pool_too() {
    let pair = Pair::start().await;
    let old = pair.primary.same_database();
    let store = std::sync::Arc::new(open(old.url(), LEASE, 4));
    store.migrate().await.expect("the worker's tables");
    let order_id = OrderId(insert(&old, 1).await[0].into());
    let request = BeginRequest { order_id, attempt: 1, correlation_id: None };
    // Each waits for the lock with a connection of its own.
    let client = old.connect().await;
    client.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    let reads = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.order(order_id).await.map(|order| order.is_some()) })
    });
    let reads: Vec<_> = reads.collect();
    eventually(LONG, "four connections are open", async || expect_equal(old.number(OURS).await, 4)).await;
    client.batch_execute("COMMIT").await.expect("the lock's end");
    for read in reads {
        assert!(read.await.expect("no panic").expect("an answer"));
    }
    pair.demote().await;
    let refused = eventually(LONG, "the server takes no writes", async || {
        match store.begin(std::slice::from_ref(&request)).await {
            Err(error) => Ok(error),
            Ok(answers) => Err(format!("{answers:?}")),
        }
    })
    .await;
    assert!(refused.is_transient() && refused.to_string().contains("read-only"), "{refused}");
    eventually(Duration::from_secs(5), "all four are gone", async || expect_equal(old.number(OURS).await, 0)).await;
}

/// Else it would be up with each read and down with each write, for hours, and no alert would last.
///
/// Caught, when seeded: connections that are made to it again for whoever reads.
#[tokio::test]
async fn a_server_that_refused_a_write_counts_as_down_until_it_takes_them_again() {
    let pair = Pair::start().await;
    let only = pair.primary.same_database();
    let store = open(only.url(), LEASE, 2);
    store.migrate().await.expect("the worker's tables");
    let order_id = OrderId(insert(&only, 1).await[0].into());
    let request = [BeginRequest { order_id, attempt: 1, correlation_id: None }];
    pair.demote().await;
    assert!(store.order(order_id).await.expect("a pool that has not written yet may read").is_some());
    eventually(LONG, "a write is refused", async || match store.begin(&request).await {
        Err(error) if error.is_transient() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    for _ in 0..5 {
        let error = store.order(order_id).await.expect_err("no answer of a server that takes no writes");
        assert!(error.is_transient() && error.to_string().contains("writes"), "{error}");
    }
    pair.primary.set(&["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"]).await;
    eventually(LONG, "writes are taken again", async || match store.begin(&request).await {
        Ok(begun) => Ok(begun),
        Err(error) => Err(error.to_string()),
    })
    .await;
    assert!(store.order(order_id).await.expect("an answer").is_some());
}

/// Whoever only reads is never refused anything, and would go on reading what was so once.
///
/// Caught, when seeded: a server's own reports that nobody listens to.
#[tokio::test]
async fn who_only_reads_finds_the_new_primary_too() {
    let pair = Pair::start().await;
    let (old, new) = (pair.primary.same_database(), pair.standby.same_database());
    open(old.url(), LEASE, 1).migrate().await.expect("the worker's tables");
    let store = open(&pair.parsed_url(), LEASE, 2);
    let first = OrderId(insert(&old, 1).await[0].into());
    assert!(store.order(first).await.expect("an answer").is_some());
    pair.demote().await;
    pair.catch_up().await;
    pair.standby.promote().await;
    let second = OrderId(insert(&new, 1).await[0].into());
    let found = eventually(LONG, "the order of the new primary is seen", async || {
        let order = store.order(second).await.map_err(|error| error.to_string())?;
        order.map(|_| ()).ok_or_else(|| "it is not".to_owned())
    });
    found.await;
}
