//! The way of docs/REPLACING.md: a shop's worker that does `BRPOP` and two `UPDATE`s dies with orders in hand, while orders
//! flow, and this one takes over.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::orders::{in_state, in_work, insert, place, push, status};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::{QUEUE_KEY, RedisServer, connect_to};
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

const HASTE: [&str; 8] =
    ["--reconcile-interval", "300ms", "--reconcile-grace", "2s", "--lease", "2s", "--simulate-latency", "0..20ms"];

/// The worker before: takes a message off the list, so that nobody else has it, and works on it for so long.
struct OldWorker(JoinHandle<()>);

impl OldWorker {
    fn start(redis: &RedisServer, database: &TestDatabase, work: Duration) -> Self {
        let (redis, database) = (redis.url(), database.url().to_owned());
        Self(tokio::spawn(async move {
            let mut queue = connect_to(&redis).await.expect("a connection to Redis");
            let (store, connection) =
                tokio_postgres::connect(&database, tokio_postgres::NoTls).await.expect("a connection to Postgres");
            tokio::spawn(connection);
            let update = "UPDATE orders SET status = $2, updated_at = now() WHERE id = $1";
            loop {
                let popped: Option<(String, String)> =
                    redis::cmd("BRPOP").arg(QUEUE_KEY).arg(0.2).query_async(&mut queue).await.expect("BRPOP");
                let Some((_, message)) = popped else { continue };
                let message: Value = serde_json::from_str(&message).expect("a message");
                let id = i32::try_from(message["order_id"].as_i64().expect("an id")).expect("a small id");
                store.execute(update, &[&id, &"processing"]).await.expect("an UPDATE");
                tokio::time::sleep(work).await;
                store.execute(update, &[&id, &"fulfilled"]).await.expect("an UPDATE");
            }
        }))
    }

    /// What it has in hand is in nobody's any more.
    async fn dies(self) {
        self.0.abort();
        assert!(self.0.await.is_err_and(|end| end.is_cancelled()), "it had ended by itself");
    }
}

/// Places an order every now and then for as long as it lives, whoever works.
fn producer(redis: &RedisServer, database: &TestDatabase) -> JoinHandle<()> {
    let (redis, database) = (redis.url(), database.url().to_owned());
    tokio::spawn(async move {
        let mut queue = connect_to(&redis).await.expect("a connection to Redis");
        let (store, connection) =
            tokio_postgres::connect(&database, tokio_postgres::NoTls).await.expect("a connection to Postgres");
        tokio::spawn(connection);
        let order = "INSERT INTO orders (product_id, quantity) VALUES (1, 1) RETURNING id";
        loop {
            let id: i32 = store.query_one(order, &[]).await.expect("an INSERT").get(0);
            let message = json!({"order_id": id, "product_id": 1, "quantity": 1}).to_string();
            let _: i64 = redis::cmd("LPUSH").arg(QUEUE_KEY).arg(message).query_async(&mut queue).await.expect("LPUSH");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

fn verify(redis: &RedisServer, database: &TestDatabase, options: &[&str]) -> (Option<i32>, Value) {
    let mut command = binary(&["verify", "--json", "--pause", "2s", "--queue", &redis.url()]);
    let output = command.args(["--store", database.url()]).args(options).output().expect("the binary starts");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), report)
}

async fn ended(mut worker: WorkerProcess) {
    worker.signal(Signal::Term);
    assert_eq!(worker.ended(LONG).await.code(), Some(0), "{}", worker.output());
}

/// Orders in any of the states of open ones.
async fn open(database: &TestDatabase) -> BTreeSet<i32> {
    let sql = "SELECT id FROM orders WHERE status IN ('pending', 'processing')";
    database.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

/// Open orders that were pushed before what the list holds, and are not in it: lost, or in the hands of who died.
async fn older_than_the_list(redis: &RedisServer, database: &TestDatabase) -> BTreeSet<i32> {
    let mut connection = redis.connect().expect("a connection to Redis");
    let first = eventually(LONG, "a message waits", async || {
        let messages: Vec<String> =
            redis::cmd("LRANGE").arg(QUEUE_KEY).arg(-1).arg(-1).query(&mut connection).expect("LRANGE");
        let oldest = messages.first().and_then(|message| serde_json::from_str::<Value>(message).ok());
        oldest.and_then(|message| message["order_id"].as_i64()).ok_or("none does")
    })
    .await;
    open(database).await.into_iter().filter(|id| i64::from(*id) < first).collect()
}

/// Caught, before it was mended: `forgotten` and what was in hand shipped by themselves, 20 ms after the first start.
///
/// On threads of its own: the producer goes on while a command is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_replaces_its_worker_while_orders_flow() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let forgotten = insert(&database, 3).await;
    let long_ago =
        "UPDATE orders SET created_at = created_at - interval '2 days', updated_at = updated_at - interval '2 days'";
    database.query(long_ago, &[]).await;
    let producer = producer(&redis, &database);

    // Before: it looks, beside the other one, and has no table yet.
    let old =
        [OldWorker::start(&redis, &database, Duration::ZERO), OldWorker::start(&redis, &database, Duration::ZERO)];
    eventually(LONG, "the worker before works", async || {
        let done = in_state(&database, "fulfilled").await;
        if done >= 30 { Ok(()) } else { Err(format!("{done} orders")) }
    })
    .await;
    let (code, beside) = verify(&redis, &database, &[]);
    assert_eq!(beside["horizon"]["noted"], false, "{code:?}: {beside}");
    for worker in old {
        worker.dies().await;
    }

    // It dies with orders in hand, and the list grows.
    let last = OldWorker::start(&redis, &database, Duration::from_secs(3_600));
    eventually(LONG, "an order is in hand", async || {
        if in_state(&database, "processing").await > 0 { Ok(()) } else { Err("none is") }
    })
    .await;
    last.dies().await;
    let in_hand: Vec<i32> = older_than_the_list(&redis, &database)
        .await
        .difference(&forgotten.iter().copied().collect())
        .copied()
        .collect();
    let left: Vec<i32> = [&forgotten[..], &in_hand].concat();
    place(&database, &redis, 40).await;

    // Cut-over: what would be left alone is what it died with, and what it had lost.
    let (code, report) = verify(&redis, &database, &[]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["left_alone"]["before_horizon"], json!({"count": left.len(), "first": left}), "{report}");
    let (_, wide) = verify(&redis, &database, &["--reconcile-from", "2020-01-01T00:00:00Z"]);
    let ids: Vec<&Value> = wide["would_adopt"].as_array().expect("an array").iter().map(|order| &order["id"]).collect();
    assert_eq!(json!(ids), json!(left));

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &HASTE).await;
    eventually(LONG, "it has caught up, and has counted what it leaves alone", async || {
        let counted = worker.metrics().value("fulfillment_orders_before_horizon");
        expect_equal((in_state(&database, "fulfilled").await > 70, counted), (true, left.len() as f64))
    })
    .await;
    for id in &left {
        let events = "SELECT count(*) FROM fulfillment.events WHERE order_id = $1";
        assert_eq!(database.query(events, &[&i64::from(*id)]).await[0].get::<_, i64>(0), 0, "order {id} was touched");
    }

    // Somebody asked the warehouse, and has what was in hand taken in.
    ended(worker).await;
    let since = "SELECT to_char(min(created_at)::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                 FROM orders WHERE id = ANY ($1)";
    let since: String = database.query(since, &[&in_hand]).await[0].get(0);
    let options = [&HASTE[..], &["--reconcile-from", &since]].concat();
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    for id in &in_hand {
        eventually(LONG, "it is taken in", async || expect_equal(status(&database, *id).await.as_str(), "fulfilled"))
            .await;
    }

    // What nobody asked for stays; a message for one of these says that somebody does.
    push(&redis, &forgotten[..1]);
    producer.abort();
    let stays: BTreeSet<i32> = forgotten[1..].iter().copied().collect();
    eventually(LONG, "all others are fulfilled", async || expect_equal(open(&database).await, stays.clone())).await;
    ended(worker).await;
    let (code, report) = verify(&redis, &database, &[]);
    assert_eq!((code, &report["left_alone"]["before_horizon"]["count"]), (Some(0), &json!(2)), "{report}");
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    let twice = "SELECT count(*) FROM (SELECT FROM fulfillment.events WHERE state = 'fulfilled' GROUP BY order_id
                 HAVING count(*) > 1) AS twice";
    assert_eq!(database.number(twice).await, 0);
}

/// The way back: this worker is stopped with orders in hand, and the one before goes on with them.
#[tokio::test(flavor = "multi_thread")]
async fn the_worker_before_goes_on_with_what_is_handed_back() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 40).await;
    let slow = ["--simulate-latency", "60s", "--call-timeout", "2m", "--concurrency", "15", "--drain-timeout", "2s"];
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &slow).await;
    in_work(&database, 15).await;
    ended(worker).await;
    assert_eq!(in_state(&database, "pending").await, 40, "a drain leaves nothing in `processing`");

    let back = |options: &[&str]| {
        let mut command = binary(&["hand-back", "--json", "--queue", &redis.url(), "--store", database.url()]);
        let output = command.args(options).output().expect("the binary starts");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), report)
    };
    let (code, report) = back(&[]);
    assert_eq!((code, &report["returned"]), (Some(0), &json!(15)), "{report}");
    assert_eq!(redis.keys(), [QUEUE_KEY], "nothing is left where another consumer doesn't look");
    let (code, report) = verify(&redis, &database, &[]);
    assert_eq!((code, &report["messages"]["waiting"]), (Some(0), &json!(40)), "{report}");

    let old = OldWorker::start(&redis, &database, Duration::ZERO);
    eventually(LONG, "the worker before is through", async || expect_equal(in_state(&database, "fulfilled").await, 40))
        .await;
    old.dies().await;
    assert_eq!(redis.keys(), Vec::<String>::new());
}
