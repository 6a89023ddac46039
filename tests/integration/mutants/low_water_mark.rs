//! A bug that loses orders in tables without an index on status.

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITH_RECONCILER};
use crate::mutants::scene::Scene;
use crate::support::{LONG, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_below_the_low_water_mark_whose_producer_died_before_its_push_is_fulfilled() {
    let hunt = Hunt {
        mutant: Mutant::MarkPassesOpen,
        case: "an_order_below_the_low_water_mark_whose_producer_died_before_its_push_is_fulfilled",
        breaks: "every order comes to an end",
        options: WITH_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.drop_status_index().await;
        let order = scene.insert().await;
        scene.date(order, "1 hour").await;
        scene.insert_closed(15_000).await;
        scene.until_passed(order).await;
        scene.date(order, "0").await;
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

    /// Dates an order: one that is made in the future is not missed before then.
    async fn date(&self, order: i32, from_now: &str) {
        let sql =
            format!("UPDATE orders SET created_at = clock_timestamp() + interval '{from_now}' WHERE id = {order}");
        self.query(&sql).await;
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
