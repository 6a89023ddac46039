//! Bugs that let an order go whose row somebody, or a failover, has made away with.

use fulfillment_worker::testing::mutant::Mutant;

use crate::mutants::hunt::{Hunt, WITHOUT_RECONCILER};
use crate::mutants::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_shipped_and_whose_row_is_gone_is_kept() {
    const PROMISE: &str = "an order whose row is gone is kept";
    let hunt = Hunt {
        mutant: Mutant::RowGoneIsDropped,
        case: "an_order_that_was_shipped_and_whose_row_is_gone_is_kept",
        breaks: PROMISE,
        options: WITHOUT_RECONCILER,
    };
    hunt.play(async |scene| {
        scene.hold_conclusions();
        let order = scene.place().await;
        scene.until_held().await;
        scene.query("CREATE TABLE IF NOT EXISTS aside (LIKE orders)").await;
        let away = "WITH gone AS (DELETE FROM orders WHERE id =";
        scene.query(&format!("{away} {order} RETURNING *) INSERT INTO aside SELECT * FROM gone")).await;
        scene.let_through();
        scene.until_first_is_idle().await;
        let letters = format!(
            "SELECT detail FROM fulfillment.dead_letters WHERE order_id = {order} AND reason = 'row_gone' \
             AND detail ~ '^fulfilled, .*key \"order-{order}-[0-9]+\", reference \"'"
        );
        if scene.query(&letters).await.is_empty() {
            scene.saw(PROMISE, format!("order {order} was shipped, and nothing tells of it"));
        }
        put_back(scene, order).await;
    })
    .await;
}

/// As who compares with the warehouse does it, and retries: the warehouse finds that it has shipped the key. So everything else that is
/// promised can be checked.
async fn put_back(scene: &Scene, order: i32) {
    let back = "INSERT INTO orders (id, product_id, quantity, status, created_at, updated_at)
                SELECT id, product_id, quantity, 'pending', created_at, updated_at + interval '1 ms' FROM aside WHERE id =";
    let entry = "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker)
                 SELECT id, updated_at, 'pending', 1, '' FROM orders WHERE id =";
    for sql in [back, entry, "DELETE FROM fulfillment.dead_letters WHERE order_id ="] {
        scene.query(&format!("{sql} {order}")).await;
    }
    scene.push(order).await;
    scene.play_out().await;
}
