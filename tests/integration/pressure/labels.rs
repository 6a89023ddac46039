//! Label values while everything that can differ does.

use serde_json::json;

use crate::pressure::place::Place;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// Orders, each of a product, with a correlation id and with errors of its own.
const ORDERS: i32 = 5_000;
/// Messages that can't be read, each for another reason or at another place.
const POISON: i32 = 5_000;
const OPTIONS: [&str; 8] =
    ["--fulfiller", "simulated", "--simulate-latency", "0", "--simulate-failures", "0.5", "--max-attempts", "1"];

fn series(worker: &WorkerProcess) -> usize {
    worker.get("/metrics", &[]).text().lines().filter(|line| !line.starts_with('#')).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_different_orders_products_ids_and_errors_add_no_series() {
    let place = Place::new().await;
    let worker = place.undisturbed_worker(&OPTIONS).await;
    let before = series(&worker);
    let products =
        "INSERT INTO products (id, name, price) SELECT i, 'LANTERN ' || i, 3.39 FROM generate_series(1, $1) i";
    let insert =
        "INSERT INTO orders (product_id, quantity) SELECT i, i FROM generate_series(1, $1) i RETURNING id, product_id";
    place.database.query(products, &[&ORDERS]).await;
    let rows = place.database.query(insert, &[&ORDERS]).await;
    let orders = rows.iter().map(|row| {
        let (order_id, product_id): (i32, i32) = (row.get(0), row.get(1));
        let correlation_id = format!("correlation-{order_id}");
        json!({"order_id": order_id, "product_id": product_id, "quantity": 1, "correlation_id": correlation_id})
            .to_string()
            .into_bytes()
    });
    // Each breaks off after another number of bytes, and names a field of its own.
    let poison = (0..POISON).map(|nth| format!("{{\"field {nth}\": {nth}").into_bytes());
    place.push(orders.chain(poison));
    eventually(LONG, "everything is decided", async || {
        let open = "SELECT count(*) FROM orders WHERE status NOT IN ('fulfilled', 'failed')";
        let poison = "SELECT count(*) FROM fulfillment.dead_letters WHERE reason = 'invalid_message'";
        let decided = (place.database.number(open).await, place.database.number(poison).await);
        expect_equal(decided, (0, i64::from(POISON)))
    })
    .await;
    assert!(worker.metrics().processed("error") > 1_000.0, "half of the calls fail");
    assert_eq!(series(&worker), before);
}
