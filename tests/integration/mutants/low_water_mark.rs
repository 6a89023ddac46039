//! A bug that loses orders in tables without an index on status.

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::Hunt;

/// The mark has time to pass an order before that counts as lost.
const WITH_LATE_RECONCILER: &[(&str, &str)] = &[("--reconcile-interval", "500ms"), ("--reconcile-grace", "8s")];

#[tokio::test(flavor = "multi_thread")]
async fn an_order_below_the_low_water_mark_whose_producer_died_before_its_push_is_fulfilled() {
    let hunt = Hunt {
        mutant: Mutant::MarkPassesOpen,
        case: "an_order_below_the_low_water_mark_whose_producer_died_before_its_push_is_fulfilled",
        breaks: "every order comes to an end",
        options: WITH_LATE_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.drop_status_index().await;
        let order = scene.insert().await;
        scene.insert_closed(15_000).await;
        scene.until_passed(order).await;
        scene.play_out().await;
    })
    .await;
}
