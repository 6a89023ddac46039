//! Bugs that let a worker write on an order that is not its own any more.

use std::time::Duration;

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITH_RECONCILER, WITHOUT_RECONCILER};
use crate::mutants::scene::{CONCLUSION, SEARCH};
use crate::support::fault_proxy::Behaviour;

#[tokio::test(flavor = "multi_thread")]
async fn a_conclusion_that_arrives_after_a_takeover_changes_nothing() {
    let hunt = Hunt {
        mutant: Mutant::NoFence,
        case: "a_conclusion_that_arrives_after_a_takeover_changes_nothing",
        breaks: "only who holds an order ends its attempt",
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.hold_conclusions();
        let order = scene.place().await;
        scene.until_held().await;
        scene.cut_off();
        scene.start_second(Behaviour::HoldFrom(CONCLUSION)).await;
        scene.let_second_take_orders();
        scene.until_begun(order, 2).await;
        scene.until_second_held().await;
        scene.let_through();
        scene.until_first_is_idle().await;
        scene.let_second_through();
        scene.play_out().await;
    })
    .await;
}

/// The takeover commits between the conclusion's snapshot and its lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_conclusion_whose_snapshot_does_not_show_the_takeover_changes_nothing() {
    let hunt = Hunt {
        mutant: Mutant::FenceInAnotherStatement,
        case: "a_conclusion_whose_snapshot_does_not_show_the_takeover_changes_nothing",
        breaks: "only who holds an order ends its attempt",
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let gate = scene.close_gate(&format!("current_query() LIKE '{CONCLUSION}%'")).await;
        scene.hold_conclusions();
        let order = scene.place().await;
        scene.until_held().await;
        scene.cut_off();
        scene.until_leases_are_over(order).await;
        scene.let_through_to_postgres();
        scene.until_waiting(CONCLUSION, Duration::ZERO).await;
        scene.start_second(Behaviour::HoldFrom(CONCLUSION)).await;
        scene.let_second_take_orders();
        scene.until_begun(order, 2).await;
        scene.until_second_held().await;
        scene.open(gate).await;
        scene.let_through();
        scene.until_first_is_idle().await;
        scene.let_second_through();
        scene.play_out().await;
    })
    .await;
}

/// The reconciler finds an order whose message was lost, and whose worker is done with it before the search is over.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_ends_while_it_is_taken_for_abandoned_stays_ended() {
    let hunt = Hunt {
        mutant: Mutant::ReconcilerWithoutGuard,
        case: "an_order_that_ends_while_it_is_taken_for_abandoned_stays_ended",
        breaks: "an order is fulfilled once",
        options: WITH_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.hold_conclusions();
        let order = scene.place().await;
        scene.until_held().await;
        scene.flush_redis().await;
        // From when on a search finds it: lease and grace.
        let abandoned = format!("SELECT updated_at + interval '3 s' FROM orders_behind_the_gate WHERE id = {order}");
        let meant = format!("current_query() LIKE '{SEARCH}%' AND statement_timestamp()::timestamp > ({abandoned})");
        let gate = scene.close_gate(&meant).await;
        scene.until_waiting(SEARCH, Duration::ZERO).await;
        scene.let_through();
        scene.until(order, "fulfilled").await;
        scene.open(gate).await;
        scene.play_out().await;
    })
    .await;
}
