//! Ids that are handed out once more, as a sequence does at a standby that is behind.

use serde_json::Value;

use crate::support::orders::{all_fulfilled_once, push, status};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const ORDER: &str = "INSERT INTO orders (id, product_id, quantity, created_at) VALUES (7, 1, $1, now()::timestamp + $2 * interval '1 s')
                     RETURNING (extract(epoch FROM created_at) * 1000000)::int8";

/// The lost order was shipped, and its message is still in the queue: it came back from a worker that died, say.
///
/// Caught, when seeded: a key of the id alone, by which the warehouse takes the new order for the one that it has shipped.
#[tokio::test]
async fn an_order_with_the_id_of_a_lost_one_is_shipped_once_under_its_own_key_by_whichever_message_comes_first() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&["--record", "calls.jsonl"]).await;
    let product = "INSERT INTO products (id, name, price) VALUES (1, 'HAND WARMER UNION JACK', 1.85)";
    database.query(product, &[]).await;
    let insert =
        async |quantity: i32, later: f64| -> i64 { database.query(ORDER, &[&quantity, &later]).await[0].get(0) };
    let fulfiller = format!("http://{}/shipments", warehouse.address());
    let options = ["--fulfiller", fulfiller.as_str(), "--reconcile-interval", "0", "--retry-base", "100ms"];
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;

    let lost = insert(2, -60.0).await;
    push(&redis, &[7]);
    eventually(LONG, "it is shipped", async || expect_equal(status(&database, 7).await, "fulfilled".to_owned())).await;
    database.query("DELETE FROM orders", &[]).await;
    database.query("DELETE FROM fulfillment.events", &[]).await;
    let new = insert(5, 0.0).await;
    // That of the lost one, and its own.
    push(&redis, &[7, 7]);
    all_fulfilled_once(&database, &redis).await;

    let record = warehouse.record("calls.jsonl");
    let keys: Vec<&Value> = record.iter().filter(|call| call["effect"] == true).map(|call| &call["key"]).collect();
    assert_eq!(
        keys,
        [&format!("order-7-{lost}"), &format!("order-7-{new}")].map(|key| Value::from(key.as_str())).each_ref()
    );
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.dead_letters").await, 0);
    assert_eq!(worker.metrics().value("fulfillment_already_final_total"), 1.0, "the second message found it done");
}
