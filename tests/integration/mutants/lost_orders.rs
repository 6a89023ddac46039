//! Bugs that lose orders.

use serde_json::json;

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITH_RECONCILER, WITHOUT_RECONCILER};
use crate::mutants::scene::Scene;
use crate::support::{LONG, eventually};

const EVERY_ORDER_ENDS: &str = "every order comes to an end";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_before_its_commit_has_not_acknowledged() {
    let hunt = Hunt {
        mutant: Mutant::AckBeforeCommit,
        case: "a_worker_that_dies_before_its_commit_has_not_acknowledged",
        breaks: EVERY_ORDER_ENDS,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(dies_before_its_commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_leaves_a_message_with_a_lease() {
    let hunt = Hunt {
        mutant: Mutant::Brpop,
        case: "a_worker_that_dies_leaves_a_message_with_a_lease",
        breaks: EVERY_ORDER_ENDS,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(dies_before_its_commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_at_a_second_attempt_leaves_a_message_with_a_lease() {
    let hunt = Hunt {
        mutant: Mutant::NoLeaseOnRetry,
        case: "a_worker_that_dies_at_a_second_attempt_leaves_a_message_with_a_lease",
        breaks: EVERY_ORDER_ENDS,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.warehouse(json!({"errors": 1, "error_status": 503, "error_retry_after_seconds": 1})).await;
        let order = scene.place().await;
        scene.until_called(order, 1).await;
        scene.until_put_back().await;
        scene.hold_conclusions();
        scene.warehouse(json!({})).await;
        scene.until_held().await;
        scene.kill().await;
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_producer_died_before_its_push_is_fulfilled() {
    let hunt = Hunt {
        mutant: Mutant::NoReconciler,
        case: "an_order_whose_producer_died_before_its_push_is_fulfilled",
        breaks: EVERY_ORDER_ENDS,
        options: WITH_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.insert().await;
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_before_the_first_start_that_was_begun_is_looked_after() {
    let hunt = Hunt {
        mutant: Mutant::BegunUnnoted,
        case: "an_order_of_before_the_first_start_that_was_begun_is_looked_after",
        breaks: EVERY_ORDER_ENDS,
        options: WITH_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.hold_conclusions();
        let order = scene.insert().await;
        scene.date_before_first_start(order).await;
        scene.push(order).await;
        scene.until_held().await;
        scene.flush_redis().await;
        scene.kill().await;
        scene.play_out().await;
    })
    .await;
}

/// Between the call and the commit.
async fn dies_before_its_commit(scene: &mut Scene) {
    scene.hold_conclusions();
    scene.place().await;
    scene.until_held().await;
    scene.kill().await;
    scene.play_out().await;
}

/// It loses none, but what a kill costs is of the same kind.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_in_a_call_spends_no_attempt_of_orders_that_could_not_be_called_for() {
    let hunt = Hunt {
        mutant: Mutant::ClaimsWithoutPlace,
        case: "a_worker_that_dies_in_a_call_spends_no_attempt_of_orders_that_could_not_be_called_for",
        breaks: "a kill spends attempts on no more orders than there are calls",
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.warehouse(json!({"hang": 1})).await;
        scene.cut_off();
        let orders = [scene.place().await, scene.place().await, scene.place().await];
        scene.let_through();
        scene.until_one_is_begun(orders).await;
        scene.warehouse(json!({})).await;
        scene.kill().await;
        scene.play_out().await;
    })
    .await;
}

impl Scene {
    /// Waits until one of these orders is begun.
    async fn until_one_is_begun(&self, orders: [i32; 3]) {
        let sql = format!(
            "SELECT count(*) FROM orders WHERE id BETWEEN {} AND {} AND status = 'processing'",
            orders[0], orders[2]
        );
        eventually(LONG, "an order is begun", async || {
            if self.query(&sql).await[0].get::<_, i64>(0) > 0 { Ok(()) } else { Err("none is") }
        })
        .await;
    }
}
