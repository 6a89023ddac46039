//! Orders as the order API places them, and what became of them.

use serde_json::json;

use super::postgres::TestDatabase;
use super::redis::{QUEUE_KEY, RedisServer};

/// Inserts `count` orders of one product, each with its message; returns their ids, ascending.
pub(crate) async fn place(database: &TestDatabase, redis: &RedisServer, count: i32) -> Vec<i32> {
    let ids = insert(database, count).await;
    push(redis, &ids);
    ids
}

/// Pushes the messages of orders.
pub(crate) fn push(redis: &RedisServer, ids: &[i32]) {
    let mut connection = redis.connect().expect("a connection to Redis");
    let mut pipeline = redis::pipe();
    for id in ids {
        pipeline.lpush(QUEUE_KEY, json!({"order_id": id, "product_id": 1, "quantity": 1}).to_string()).ignore();
    }
    pipeline.exec(&mut connection).expect("an answer to LPUSH");
}

/// Inserts `count` orders of one product, without messages; returns their ids, ascending.
pub(crate) async fn insert(database: &TestDatabase, count: i32) -> Vec<i32> {
    let product =
        "INSERT INTO products (id, name, price) VALUES (1, 'HAND WARMER UNION JACK', 1.85) ON CONFLICT DO NOTHING";
    let orders = "INSERT INTO orders (product_id, quantity) SELECT 1, 1 FROM generate_series(1, $1) RETURNING id";
    database.query(product, &[]).await;
    let mut ids: Vec<i32> = database.query(orders, &[&count]).await.iter().map(|row| row.get(0)).collect();
    ids.sort_unstable();
    ids
}

/// Number of rows in this state.
pub(crate) async fn in_state(database: &TestDatabase, state: &str) -> i64 {
    database.query("SELECT count(*) FROM orders WHERE status = $1", &[&state]).await[0].get(0)
}

/// The status of one order.
pub(crate) async fn status(database: &TestDatabase, order_id: i32) -> String {
    database.query("SELECT status FROM orders WHERE id = $1", &[&order_id]).await[0].get(0)
}

/// Orders that don't have exactly one `fulfilled` event. None, when all is well.
pub(crate) async fn not_fulfilled_exactly_once(database: &TestDatabase) -> i64 {
    database
        .number(
            "SELECT count(*) FROM orders o WHERE 1 <> \
             (SELECT count(*) FROM fulfillment.events e WHERE e.order_id = o.id AND e.state = 'fulfilled')",
        )
        .await
}
