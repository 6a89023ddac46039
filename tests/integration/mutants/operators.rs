//! Bugs by which what operators have decided doesn't hold.

use std::time::Duration;

use serde_json::json;

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITHOUT_RECONCILER};
use crate::mutants::scene::{BEGIN, Scene};
use crate::support::fault_proxy::Behaviour;
use crate::support::redis::QUEUE_KEY;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually};

const NOTHING_IS_CLAIMED: &str = "nothing is claimed while the fleet is paused";
const NOTHING_HELD_IS_BEGUN: &str = "no order is begun while it is held";
const NOT_BEFORE: &str = "no order is begun before the time that its message names";
/// What the timeline has of a hold of these scenes.
const HOLD_NOTE: &str = "held for 6s by ann: not in stock";
/// How the statement of a takeover begins.
const TAKEOVER: &str = "-- Takes orders over";
/// How long a worker must have been held back by the pause, in seconds as it counts them, to say that it claims nothing.
pub(super) const HELD_BACK: f64 = 1.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_during_a_pause_is_left_in_the_queue() {
    let hunt = Hunt {
        mutant: Mutant::ClaimsWhilePaused,
        case: "a_message_that_comes_during_a_pause_is_left_in_the_queue",
        breaks: NOTHING_IS_CLAIMED,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.operate(&["pause", "--why", "the warehouse moves"]);
        let order = scene.place().await;
        if scene.is_begun_before_it_is_held_back(order).await {
            scene.saw(NOTHING_IS_CLAIMED, format!("order {order}"));
        }
        scene.operate(&["resume", "--why", "moved"]);
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_held_is_begun_when_its_hold_ends() {
    let hunt = Hunt {
        mutant: Mutant::BeginsHeld,
        case: "an_order_that_is_held_is_begun_when_its_hold_ends",
        breaks: NOTHING_HELD_IS_BEGUN,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let order = scene.insert().await;
        scene.hold_for_a_while(order);
        scene.push(order).await;
        scene.play_out().await;
        scene.nothing_is_begun_while_held(order).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_fulfilled_is_cancelled_by_nobody() {
    let hunt = Hunt {
        mutant: Mutant::CancelsFinished,
        case: "an_order_that_is_fulfilled_is_cancelled_by_nobody",
        breaks: "an order is fulfilled once",
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let order = scene.place().await;
        scene.until(order, "fulfilled").await;
        scene.operate(&["cancel", &order.to_string(), "--why", "recalled"]);
        scene.play_out().await;
    })
    .await;
}

/// The hold commits between the look that finds a lease at its end, and the takeover.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_held_behind_the_back_of_its_takeover_is_not_taken_over() {
    let hunt = Hunt {
        mutant: Mutant::TakesOverHeld,
        case: "an_order_that_is_held_behind_the_back_of_its_takeover_is_not_taken_over",
        breaks: NOTHING_HELD_IS_BEGUN,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.hold_conclusions();
        let order = scene.place().await;
        scene.until_held().await;
        scene.cut_off();
        scene.start_second(Behaviour::HoldFrom(TAKEOVER)).await;
        scene.let_second_take_orders();
        scene.until_second_held().await;
        scene.until_row_lease_is_over(order).await;
        scene.hold_for_a_while(order);
        scene.let_second_through();
        scene.until_put_back_or_begun(order, 2).await;
        scene.let_through();
        scene.play_out().await;
        scene.nothing_is_begun_while_held(order).await;
    })
    .await;
}

/// The hold commits between the begin's snapshot and its lock.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_held_behind_the_back_of_its_begin_is_not_begun() {
    let hunt = Hunt {
        mutant: Mutant::HoldLeavesFence,
        case: "an_order_that_is_held_behind_the_back_of_its_begin_is_not_begun",
        breaks: NOTHING_HELD_IS_BEGUN,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let gate = scene.close_gate(&format!("current_query() LIKE '{BEGIN}%'")).await;
        let order = scene.place().await;
        scene.until_waiting(BEGIN, Duration::ZERO).await;
        scene.hold_for_a_while(order);
        scene.open(gate).await;
        scene.until_put_back_or_begun(order, 1).await;
        scene.play_out().await;
        scene.nothing_is_begun_while_held(order).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_not_begun_before_the_time_that_its_message_names() {
    let hunt = Hunt {
        mutant: Mutant::IgnoresNotBefore,
        case: "an_order_is_not_begun_before_the_time_that_its_message_names",
        breaks: NOT_BEFORE,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let order = scene.insert().await;
        let soon = "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 s', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
        let time: String = scene.query(soon).await[0].get(0);
        let message = json!({"order_id": order, "product_id": 1, "quantity": 1, "not_before": time}).to_string();
        let _: i64 = scene.redis(redis::cmd("LPUSH").arg(QUEUE_KEY).arg(message)).await;
        scene.play_out().await;
        let early = format!(
            "SELECT count(*) FROM fulfillment.events
             WHERE order_id = {order} AND state = 'processing' AND at < '{time}'::timestamptz::timestamp"
        );
        if scene.query(&early).await[0].get::<_, i64>(0) > 0 {
            scene.saw(NOT_BEFORE, format!("order {order}, {time}"));
        }
    })
    .await;
}

impl Scene {
    /// Until the first attempt's lease is over, and some time after it.
    fn hold_for_a_while(&self, order: i32) {
        self.operate(&["hold", &order.to_string(), "--for", "6s", "--why", "not in stock"]);
    }

    /// By the timeline, in which the hold is noted, too.
    async fn nothing_is_begun_while_held(&mut self, order: i32) {
        let early = format!(
            "SELECT count(*) FROM fulfillment.events e JOIN fulfillment.holds h USING (order_id)
             WHERE e.order_id = {order} AND e.state = 'processing' AND e.note IS DISTINCT FROM '{HOLD_NOTE}'
               AND e.at > (SELECT n.at FROM fulfillment.events n WHERE n.order_id = {order} AND n.note = '{HOLD_NOTE}')
               AND e.at < h.until::timestamp"
        );
        if self.query(&early).await[0].get::<_, i64>(0) > 0 {
            self.saw(NOTHING_HELD_IS_BEGUN, format!("order {order}"));
        }
    }

    async fn until_row_lease_is_over(&self, order: i32) {
        let sql = format!(
            "SELECT updated_at < clock_timestamp()::timestamp - interval '2.2 s' FROM orders WHERE id = {order}"
        );
        eventually(LONG, "the lease of the row is over", async || {
            if self.query(&sql).await[0].get::<_, bool>(0) { Ok(()) } else { Err("it is not") }
        })
        .await;
    }

    /// Waits until a message was put back as its order is held, or the order is begun so many times.
    async fn until_put_back_or_begun(&self, order: i32, times: i64) {
        let sql = format!(
            "SELECT count(*) FROM fulfillment.events
             WHERE order_id = {order} AND state = 'processing' AND note IS DISTINCT FROM '{HOLD_NOTE}'"
        );
        let key = format!("{{{QUEUE_KEY}}}:retries");
        eventually(LONG, "the message is put back, or the order begun", async || {
            let put_back: i64 = self.redis(redis::cmd("ZCARD").arg(&key)).await;
            let begun: i64 = self.query(&sql).await[0].get(0);
            if put_back > 0 || begun >= times { Ok(()) } else { Err("neither") }
        })
        .await;
    }

    /// An operator's command, past the links and with the bug. What it answers is not the point: what becomes of the orders is.
    pub(super) fn operate(&self, words: &[&str]) {
        let servers = ["--actor", "ann", "--queue", &self.world.redis_url, "--store", &self.world.postgres_url];
        let mut command = binary(&[words, &servers].concat());
        let output = command.envs(&self.world.start.environment).output().expect("the binary starts");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{words:?}: {output:?}");
    }

    /// Waits until the first worker was held back by a pause for a while, or has begun an order.
    pub(super) async fn is_begun_before_it_is_held_back(&self, order: i32) -> bool {
        let worker = self.world.workers[0].lock().await;
        self.begins_before_it_is_held_back(&worker, "paused", order).await
    }

    /// The same of any worker, and of whatever holds it back.
    pub(super) async fn begins_before_it_is_held_back(&self, worker: &WorkerProcess, by: &str, order: i32) -> bool {
        let series = format!("fulfillment_claims_held_back_seconds_total{{by=\"{by}\"}}");
        let held_back = || worker.metrics().value(&series);
        let sql = format!("SELECT count(*) FROM fulfillment.events WHERE order_id = {order} AND state = 'processing'");
        let (before, mut is_begun) = (held_back(), false);
        eventually(LONG, "it is held back, or begins the order", async || {
            is_begun = self.query(&sql).await[0].get::<_, i64>(0) > 0;
            let held_back = held_back() - before;
            if is_begun || held_back >= HELD_BACK { Ok(()) } else { Err(held_back) }
        })
        .await;
        is_begun
    }
}
