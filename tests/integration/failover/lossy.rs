//! A standby is promoted that has not received everything.

use std::collections::HashSet;
use std::time::{Instant, SystemTime};

use serde_json::json;

use crate::failover::Pair;
use crate::failover::figures::{Figures, Record, Rows};
use crate::support::orders::{all_fulfilled_once, in_state, in_work, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

const WORKERS: usize = 2;
const CONCURRENCY: i32 = 16;
const WORKER: [&str; 14] = [
    "--concurrency",
    "16",
    "--lease",
    "4s",
    "--call-timeout",
    "3s",
    "--retry-base",
    "100ms",
    "--retry-cap",
    "500ms",
    "--reconcile-interval",
    "500ms",
    "--reconcile-grace",
    "1s",
];
/// How the warehouse is while the primary is killed: whatever is in hand ends some time after that.
const SLOW: &str = "1500ms..2s";
const USUAL: &str = "40ms..120ms";

/// An answer about an order whose row the new primary never had.
///
/// Caught, when seeded: the message acknowledged without a letter; a letter without the key; a verdict that takes the row of an order
/// with the same id for this one's; a key of the id alone, by which the warehouse took new orders for those that were lost;
/// connections that stay with the server they were made to.
#[tokio::test]
async fn a_failover_that_loses_commits_loses_no_order_that_is_there_and_reports_those_in_hand() {
    let orders = super::size("FAILOVER_ORDERS", 400);
    let (redis, mut pair) = (RedisServer::start().await, Pair::start().await);
    let warehouse = WarehouseProcess::start(&["--latency", USUAL, "--record", "calls.jsonl"]).await;
    let fulfiller = format!("http://{}/shipments", warehouse.address());
    let options = [&WORKER[..], &["--fulfiller", &fulfiller]].concat();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(WorkerProcess::ready(&redis.url(), &pair.url(), &options).await);
    }
    let old = pair.primary.same_database();

    place(&old, &redis, orders).await;
    fulfilled_at_least(&old, orders / 4).await;
    pair.part().await;
    // Never received: some are fulfilled, some in hand, some wait.
    let unreceived = place(&old, &redis, orders / 2).await;
    let shipped_of_unreceived =
        format!("SELECT count(*) FROM orders WHERE status = 'fulfilled' AND id >= {}", unreceived[0]);
    eventually(LONG, "rows are fulfilled that the standby never had", async || {
        let seen = old.number(&shipped_of_unreceived).await;
        if seen >= i64::from(orders / 8) { Ok(()) } else { Err(seen) }
    })
    .await;
    warehouse.behave(&json!({"latency": SLOW}));
    let in_hand = CONCURRENCY * i32::try_from(WORKERS).expect("few");
    in_work(&old, in_hand).await;

    let before = Rows::of(&old).await;
    let killed = Instant::now();
    pair.primary.kill().await;
    // What was shipped before may have been acknowledged, too.
    let killed_micros = now_micros();
    each_answers(&workers, 503).await;
    let not_ready = killed.elapsed();
    pair.standby.promote().await;
    let promoted = killed.elapsed();
    let new = pair.standby.same_database();
    let kept = Rows::of(&new).await;
    each_answers(&workers, 200).await;
    let ready = killed.elapsed();
    warehouse.behave(&json!({"latency": USUAL}));
    place(&new, &redis, orders / 2).await;
    all_fulfilled_once(&new, &redis).await;
    let over = killed.elapsed();

    let (record, after) = (Record(warehouse.record("calls.jsonl")), Rows::of(&new).await);
    assert_eq!(record.shipped_twice(), Vec::<&str>::new(), "keys that were shipped twice");
    let shipped: HashSet<&str> = record.shipped_since(0).into_iter().map(|(key, _)| key).collect();
    let unshipped: Vec<&String> = after.0.keys().filter(|key| !shipped.contains(key.as_str())).collect();
    assert_eq!(unshipped, Vec::<&String>::new(), "orders that are fulfilled and were not shipped under their own keys");
    let gone = letters(&new, "row_gone").await;
    let mut reported = 0;
    for (key, reference) in record.shipped_since(killed_micros) {
        if !after.0.contains_key(key) {
            let of_it = gone.iter().find(|detail| detail.contains(&format!("key \"{key}\"")));
            let detail = of_it.unwrap_or_else(|| panic!("{key} was shipped, and nothing tells of it: {gone:#?}"));
            // A call that was broken off on a machine that stood still has no reference.
            let is_known = detail.starts_with("fulfilled");
            assert_eq!(is_known, detail.contains(&format!("reference \"{reference}\"")), "{reference}: {detail}");
            reported += usize::from(is_known);
        }
    }
    assert!(reported > 0, "nothing was in hand whose row is gone");
    let lost = before.0.iter().filter(|(key, _)| !kept.0.contains_key(*key));
    let lost: Vec<&(i32, String)> = lost.map(|(_, row)| row).collect();
    let given_again = lost.iter().filter(|(id, _)| after.ids().contains(id)).count();
    assert!(given_again > 0, "no id was handed out again: the sequence is ahead by 32 at most");
    assert!(workers.iter_mut().all(|worker| worker.status().is_none()), "a worker has ended");
    let was_fulfilled = |key: &&String| before.0.get(*key).is_some_and(|(_, status)| status == "fulfilled");
    println!(
        "{}",
        Figures {
            orders: before.0.len(),
            fulfilled_before: before.in_state("fulfilled"),
            put_back: kept.0.iter().filter(|(key, row)| row.1 != "fulfilled" && was_fulfilled(key)).count(),
            lost: lost.len(),
            lost_settled: lost.iter().filter(|(_, status)| status == "fulfilled").count(),
            row_gone: gone.len(),
            unknown: letters(&new, "unknown_order").await.len(),
            ids_given_again: given_again,
            calls: record.0.len(),
            repeated: record.repeated(),
            not_ready,
            promoted,
            ready,
            over,
        }
    );
}

async fn fulfilled_at_least(database: &TestDatabase, least: i32) {
    eventually(LONG, "orders are fulfilled", async || {
        let seen = in_state(database, "fulfilled").await;
        if seen >= i64::from(least) { Ok(()) } else { Err(format!("{seen} of {least}")) }
    })
    .await;
}

async fn each_answers(workers: &[WorkerProcess], status: u16) {
    for worker in workers {
        eventually(LONG, "the worker has noticed", async || worker.answers("/readyz", status)).await;
    }
}

async fn letters(database: &TestDatabase, reason: &str) -> Vec<String> {
    let sql = "SELECT detail FROM fulfillment.dead_letters WHERE reason = $1";
    database.query(sql, &[&reason]).await.iter().map(|row| row.get(0)).collect()
}

fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_micros()).expect("before the year 294,247")
}
