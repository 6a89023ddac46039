//! A bug that deletes what is still needed.

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::Hunt;
use crate::mutants::scene::Scene;
use crate::support::fault_proxy::Behaviour;
use crate::support::{LONG, eventually, expect_equal};

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_of_an_order_that_is_open_for_long_is_kept() {
    let hunt = Hunt {
        mutant: Mutant::DeletesOpenTimelines,
        case: "the_timeline_of_an_order_that_is_open_for_long_is_kept",
        breaks: "an order only takes steps that there are",
        options: &[("--reconcile-interval", "0"), ("--keep-events", "30d")],
    };
    hunt.play(async |scene| {
        scene.hold_conclusions();
        let order = scene.place().await;
        scene.until_held().await;
        scene.age_timelines().await;
        // Only at its start does a worker begin at once.
        scene.take_retention_from_the_first().await;
        scene.start_second(Behaviour::Pass).await;
        scene.until_pages_are_deleted_beyond(order).await;
        scene.let_through();
        scene.play_out().await;
    })
    .await;
}

impl Scene {
    /// What happened so far was long ago, and so was the end of an order that nobody looks at.
    async fn age_timelines(&self) {
        self.query("UPDATE fulfillment.events SET at = at - interval '40 days'").await;
        self.query(
            "WITH closed AS (INSERT INTO orders (product_id, quantity, status) VALUES (1, 1, 'elsewhere') RETURNING id) \
             INSERT INTO fulfillment.events (order_id, at, state, attempt, worker) \
             SELECT id, now() - interval '40 days', 'fulfilled', 1, 'before' FROM closed",
        )
        .await;
    }

    async fn take_retention_from_the_first(&self) {
        self.query("DELETE FROM fulfillment.leadership WHERE name = 'retention'").await;
    }

    /// Waits until the timelines behind an order's are gone.
    async fn until_pages_are_deleted_beyond(&self, order: i32) {
        let sql = format!("SELECT count(*) FROM fulfillment.events WHERE order_id > {order}");
        eventually(LONG, "a page is deleted", async || expect_equal(self.query(&sql).await[0].get::<_, i64>(0), 0))
            .await;
    }
}
