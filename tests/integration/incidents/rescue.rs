//! A rescue that acts upon what it saw some time ago.

use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::postgres::{PostgresStore, PostgresStoreOptions};
use fulfillment_worker::backend::redis::{RedisQueue, RedisQueueOptions};
use fulfillment_worker::config::{QueueTls, SecretUrl};
use fulfillment_worker::domain::message::Message;
use fulfillment_worker::domain::order::{Fence, OrderId};
use fulfillment_worker::event::Observers;
use fulfillment_worker::port::queue_maintenance::{QueueMaintenance, RequeuedMessage};
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrder, LostOrderSearch, Reconciliation};
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, OrderStore, Target, Verdict};

use crate::support::orders::{all_fulfilled_once, attempts_begun, insert, status};
use crate::support::postgres::TestDatabase;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const LEASE: Duration = Duration::from_secs(1);

fn url(text: &str) -> SecretUrl {
    SecretUrl::new(text.parse().expect("a URL"))
}

async fn begin(store: &PostgresStore, order_id: OrderId, attempt: u32) -> Fence {
    let request = BeginRequest { order_id, attempt, correlation_id: None };
    match store.begin(&[request]).await.expect("an answer").remove(0) {
        Begun::Started { fence, .. } => fence,
        other => panic!("{order_id} was not begun: {other:?}"),
    }
}

async fn conclude(store: &PostgresStore, order_id: OrderId, fence: Fence, attempt: u32, to: Target) {
    let conclusion = Conclusion { order_id, fence, attempt, to, maybe_applied: false, created_at_micros: None };
    let verdict = store.conclude(&[conclusion]).await.expect("an answer").remove(0);
    assert!(matches!(verdict, Verdict::Done { .. }), "{order_id}: {verdict:?}");
}

fn adoption(orphan: &LostOrder) -> RequeuedMessage {
    let message = Message {
        order_id: orphan.order_id.0,
        product_id: orphan.product_id,
        quantity: orphan.quantity,
        correlation_id: None,
        traceparent: None,
        timestamp: None,
        not_before: None,
    };
    RequeuedMessage {
        key: format!("adopted-{}-{}", orphan.order_id, orphan.fence.0),
        attempts: 0,
        payload: message.encode(),
    }
}

/// [river #1302](https://github.com/riverqueue/river/issues/1302): the rescuer read which jobs were stuck, and later
/// wrote by their ids alone. A job that its worker completed in between went back to `retryable`; so did one that another
/// worker had begun afresh. Here a rescue writes no row: it puts in a message, and whoever gets that begins under the same
/// guard as everybody else.
///
/// Caught, when seeded: a begin that takes final orders too; a takeover without regard to the lease.
#[tokio::test]
async fn river_1302_a_rescue_that_comes_too_late_changes_nothing() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let options = PostgresStoreOptions { worker: WorkerId::fresh(), lease: LEASE, events: true, connections: 2 };
    let slow = PostgresStore::connect(&url(database.url()), options, Observers::default()).expect("a store");
    slow.migrate().await.expect("tables");
    let ids: Vec<OrderId> = insert(&database, 2).await.into_iter().map(|id| OrderId(id.into())).collect();
    let fences = [begin(&slow, ids[0], 1).await, begin(&slow, ids[1], 1).await];

    // The rescuer looks: both workers have been silent for longer than a lease.
    let search = LostOrderSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: Duration::ZERO,
        max_age: LONG,
        after: OrderId(0),
        limit: 10,
    };
    let seen = eventually(LONG, "both orders look abandoned", async || {
        let orphans = slow.lost_orders(&search).await.map_err(|error| error.to_string())?;
        if orphans.len() == 2 { Ok(orphans) } else { Err(format!("{orphans:?}")) }
    })
    .await;

    // They were only slow. One is done, the other is given back and begun afresh.
    conclude(&slow, ids[0], fences[0], 1, Target::Fulfilled { reference: None }).await;
    conclude(&slow, ids[1], fences[1], 1, Target::Pending { reason: "out of stock".to_owned() }).await;
    let fresh = begin(&slow, ids[1], 2).await;

    // And now the rescuer acts, and a worker does what it is asked to. That one's leases are long: the fresh one holds.
    let options = RedisQueueOptions { key: QUEUE_KEY.to_owned(), lease: LEASE, worker: WorkerId::fresh() };
    let queue =
        RedisQueue::connect(&url(&redis.url()), &QueueTls::default(), options, Observers::default()).expect("a queue");
    assert_eq!(queue.requeue_lost(&seen.iter().map(adoption).collect::<Vec<_>>()).await.expect("an answer"), 2);
    let options = ["--lease", "2m", "--simulate-latency", "0", "--reconcile-interval", "0"];
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    eventually(LONG, "both messages are answered", async || {
        let metrics = worker.metrics();
        let busy = metrics.value("fulfillment_retries_total{reason=\"busy\"}") > 0.0;
        expect_equal((metrics.value("fulfillment_already_final_total"), busy), (1.0, true))
    })
    .await;
    let first = i32::try_from(ids[0].0).expect("an id");
    assert_eq!(status(&database, first).await, "fulfilled");

    conclude(&slow, ids[1], fresh, 2, Target::Fulfilled { reference: None }).await;
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(attempts_begun(&database).await, 3, "nobody but the slow worker began anything");
    assert_eq!(worker.metrics().processed("success"), 0.0);
}
