//! Bugs by which some orders cost others more than they may.

use std::time::Duration;

use serde_json::json;
use tokio_postgres::Client;

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITHOUT_RECONCILER};
use crate::mutants::scene::Scene;
use crate::support::redis::QUEUE_KEY;
use crate::support::{LONG, eventually};

/// Orders that may wait for their commit, and one that keeps its place, as the concurrency is 1.
const MOST_CALLS: f64 = 2_001.0;
/// More, and no more than a worker takes in hand at all.
const ORDERS: i32 = 2_450;
/// How long claims must have been held back for want of a place, in seconds, to say that no call is to come.
const HELD_BACK: f64 = 2.0;
/// Begins that failed, to say that this one will go on failing.
const FAILURES: f64 = 5.0;

const CALLS_BEYOND_THE_BOUND: &str = "calls stop while as many orders as may be wait for their commit";
const A_LOCKED_ROW_IS_NOBODY_ELSES: &str = "a locked row holds up no other order";

#[tokio::test(flavor = "multi_thread")]
async fn calls_stop_while_the_store_commits_none() {
    let hunt = Hunt {
        mutant: Mutant::FinishedWithoutBound,
        case: "calls_stop_while_the_store_commits_none",
        breaks: CALLS_BEYOND_THE_BOUND,
        options: &[
            ("--reconcile-interval", "0"),
            ("--fulfiller", "simulated"),
            ("--simulate-latency", "0"),
            // A wait of a fifteenth of it is nothing slow.
            ("--lease", "10m"),
            ("--call-timeout", "1m"),
        ],
    };
    hunt.play(async |scene| {
        scene.hold_conclusions();
        scene.place_many(ORDERS).await;
        let calls = scene.calls_until_held_back().await;
        if calls > MOST_CALLS {
            scene.saw(CALLS_BEYOND_THE_BOUND, format!("{calls} calls"));
        }
        scene.let_through();
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_row_is_locked_holds_up_no_other_one() {
    let hunt = Hunt {
        mutant: Mutant::WaitsAgain,
        case: "an_order_whose_row_is_locked_holds_up_no_other_one",
        breaks: A_LOCKED_ROW_IS_NOBODY_ELSES,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let (locked, other) = (scene.insert().await, scene.insert().await);
        let lock = scene.lock_row(locked).await;
        scene.push(locked).await;
        scene.push(other).await;
        if !scene.is_fulfilled_although_others_fail(other).await {
            scene.saw(A_LOCKED_ROW_IS_NOBODY_ELSES, format!("order {other}"));
        }
        drop(lock);
        scene.play_out().await;
    })
    .await;
}

impl Scene {
    /// Places orders, as fast as it goes.
    async fn place_many(&self, count: i32) {
        let sql = format!(
            "INSERT INTO orders (product_id, quantity) SELECT 1, 1 FROM generate_series(1, {count}) RETURNING id"
        );
        let mut push = redis::cmd("LPUSH");
        push.arg(QUEUE_KEY);
        for row in self.query(&sql).await {
            push.arg(json!({"order_id": row.get::<_, i32>(0), "product_id": 1, "quantity": 1}).to_string());
        }
        let _: i64 = self.redis(&push).await;
    }

    /// The number of calls that ended, once there are no more orders, or no more are claimed as no place comes free.
    async fn calls_until_held_back(&self) -> f64 {
        let worker = self.world.workers[0].lock().await;
        let before = worker.metrics();
        let number = |series: &str| {
            let now = worker.metrics();
            now.value(series) - before.value(series)
        };
        let mut last = (0.0, 0.0);
        eventually(LONG, "more orders are called for than may be, or claims are held back", async || {
            let calls = number(r#"fulfillment_calls_total{outcome="fulfilled"}"#);
            let held_back = number(r#"fulfillment_claims_held_back_seconds_total{by="concurrency"}"#);
            if calls > last.0 {
                last = (calls, held_back);
            }
            let stopped = calls + 1.0 >= MOST_CALLS && held_back - last.1 >= HELD_BACK;
            if stopped || calls > MOST_CALLS {
                Ok(())
            } else {
                Err(format!("{calls} calls, held back for {held_back} s"))
            }
        })
        .await;
        last.0
    }

    /// A transaction of somebody else's that keeps a row locked until it is dropped.
    async fn lock_row(&self, order: i32) -> Client {
        let client = self.world.connect().await.expect("a connection to Postgres");
        let sql = format!("BEGIN; SELECT FROM orders WHERE id = {order} FOR UPDATE");
        client.batch_execute(&sql).await.expect("the row's lock");
        client
    }

    /// Waits until an order is fulfilled, or begins have failed again and again.
    async fn is_fulfilled_although_others_fail(&self, order: i32) -> bool {
        let sql = format!("SELECT status = 'fulfilled' FROM orders WHERE id = {order}");
        let worker = self.world.workers[0].lock().await;
        let mut fulfilled = false;
        eventually(Duration::from_secs(60), "it is fulfilled, or begins fail", async || {
            fulfilled = self.query(&sql).await[0].get(0);
            let failures = worker.metrics().value(r#"fulfillment_stage_errors_total{stage="begin"}"#);
            if fulfilled || failures >= FAILURES { Ok(()) } else { Err(failures) }
        })
        .await;
        fulfilled
    }
}
