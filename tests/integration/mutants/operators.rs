//! Bugs by which what operators have decided doesn't hold.

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITHOUT_RECONCILER};
use crate::mutants::scene::Scene;
use crate::support::worker::binary;
use crate::support::{LONG, eventually};

const NOTHING_IS_CLAIMED: &str = "nothing is claimed while the fleet is paused";
const NOTHING_HELD_IS_BEGUN: &str = "no order is begun while it is held";
/// How long a worker must have been held back by the pause, in seconds as it counts them, to say that it claims nothing.
const HELD_BACK: f64 = 1.0;

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
        scene.operate(&["hold", &order.to_string(), "--for", "3s", "--why", "not in stock"]);
        scene.push(order).await;
        scene.play_out().await;
        let early = format!(
            "SELECT count(*) FROM fulfillment.events e JOIN fulfillment.holds h USING (order_id)
             WHERE e.order_id = {order} AND e.state = 'processing' AND e.at < h.until::timestamp"
        );
        if scene.query(&early).await[0].get::<_, i64>(0) > 0 {
            scene.saw(NOTHING_HELD_IS_BEGUN, format!("order {order}"));
        }
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

impl Scene {
    /// An operator's command, past the links and with the bug. What it answers is not the point: what becomes of the orders is.
    fn operate(&self, words: &[&str]) {
        let servers = ["--actor", "ann", "--queue", &self.world.redis_url, "--store", &self.world.postgres_url];
        let mut command = binary(&[words, &servers].concat());
        let output = command.envs(&self.world.start.environment).output().expect("the binary starts");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{words:?}: {output:?}");
    }

    /// Waits until the first worker was held back by a pause for a while, or has begun an order.
    async fn is_begun_before_it_is_held_back(&self, order: i32) -> bool {
        let worker = self.world.workers[0].lock().await;
        let held_back = || worker.metrics().value(r#"fulfillment_claims_held_back_seconds_total{by="paused"}"#);
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
