//! A bug that loses orders in tables without an index on status.

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::Hunt;
use crate::mutants::scene::Scene;
use crate::support::{LONG, eventually};

/// An order is not missed while it is being closed.
const WITH_PATIENT_RECONCILER: &[(&str, &str)] = &[("--reconcile-interval", "500ms"), ("--reconcile-grace", "10s")];

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_opened_again_below_the_low_water_mark_is_fulfilled() {
    let hunt = Hunt {
        mutant: Mutant::MarkPassesOpen,
        case: "an_order_that_is_opened_again_below_the_low_water_mark_is_fulfilled",
        breaks: "every order comes to an end",
        options: WITH_PATIENT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.drop_status_index().await;
        let order = scene.insert().await;
        scene.set_status(order, "elsewhere").await;
        scene.insert_closed(15_000).await;
        scene.until_passed(order).await;
        scene.set_status(order, "pending").await;
        scene.play_out().await;
    })
    .await;
}

impl Scene {
    /// The worker notices within two seconds.
    async fn drop_status_index(&self) {
        self.query("DROP INDEX IF EXISTS idx_orders_status").await;
    }

    /// Orders that no worker has anything to do with, and no checker looks at.
    async fn insert_closed(&self, count: u32) {
        let sql = format!(
            "INSERT INTO orders (product_id, quantity, status) SELECT 1, 1, 'elsewhere' FROM generate_series(1, {count})"
        );
        self.query(&sql).await;
    }

    /// Of an order that is old enough to be missed.
    async fn set_status(&self, order: i32, status: &str) {
        self.query(&format!(
            "UPDATE orders SET status = '{status}', created_at = now() - interval '1 min' WHERE id = {order}"
        ))
        .await;
    }

    /// Waits until the low-water mark has passed an order.
    async fn until_passed(&self, order: i32) {
        let sql = "SELECT closed_up_to FROM fulfillment.low_water_mark";
        eventually(LONG, "the mark has passed the order", async || {
            let mark: i64 = self.query(sql).await[0].get(0);
            if mark >= i64::from(order) { Ok(()) } else { Err(mark) }
        })
        .await;
    }
}
