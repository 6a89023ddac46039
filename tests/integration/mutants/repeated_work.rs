//! Bugs that do twice what is to be done once.

use serde_json::json;

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITHOUT_RECONCILER};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_first_answer_was_lost_is_shipped_once() {
    let hunt = Hunt {
        mutant: Mutant::KeyPerAttempt,
        case: "an_order_whose_first_answer_was_lost_is_shipped_once",
        breaks: "an order is shipped once",
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.warehouse(json!({"cut_after": 1})).await;
        let order = scene.place().await;
        scene.until_called(order, 1).await;
        scene.warehouse(json!({})).await;
        scene.play_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_does_not_begin_a_finished_order() {
    let hunt = Hunt {
        mutant: Mutant::BeginsFinished,
        case: "a_message_that_comes_again_does_not_begin_a_finished_order",
        breaks: "an order is fulfilled once",
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        let order = scene.place().await;
        scene.until(order, "fulfilled").await;
        scene.push(order).await;
        scene.play_out().await;
    })
    .await;
}
