//! Orders as the order API places them, and what became of them.

use serde_json::json;

use super::postgres::TestDatabase;
use super::redis::{QUEUE_KEY, RedisServer};
use super::{LONG, eventually, expect_equal};

/// Inserts `count` orders of one product, each with its message; returns their ids, ascending.
pub(crate) async fn place(database: &TestDatabase, redis: &RedisServer, count: i32) -> Vec<i32> {
    let ids = insert(database, count).await;
    push(redis, &ids);
    ids
}

/// The product that the warehouse doesn't ship, where it is told so.
pub(crate) const REJECTED_PRODUCT: i32 = 13;

/// Inserts `count` orders of that product, each with its message.
pub(crate) async fn place_rejected(database: &TestDatabase, redis: &RedisServer, count: i32) {
    let product = "INSERT INTO products (id, name, price) VALUES ($1, 'NOT SOLD ANY MORE', 1) ON CONFLICT DO NOTHING";
    let orders = "INSERT INTO orders (product_id, quantity) SELECT $1, 1 FROM generate_series(1, $2) RETURNING id";
    database.query(product, &[&REJECTED_PRODUCT]).await;
    let rows = database.query(orders, &[&REJECTED_PRODUCT, &count]).await;
    push_of(redis, REJECTED_PRODUCT, &rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>());
}

/// Pushes the messages of orders.
pub(crate) fn push(redis: &RedisServer, ids: &[i32]) {
    push_of(redis, 1, ids);
}

/// The same of some other product.
pub(crate) fn push_of(redis: &RedisServer, product: i32, ids: &[i32]) {
    // An empty pipeline is refused.
    if ids.is_empty() {
        return;
    }
    let mut connection = redis.connect().expect("a connection to Redis");
    let mut pipeline = redis::pipe();
    for id in ids {
        pipeline.lpush(QUEUE_KEY, json!({"order_id": id, "product_id": product, "quantity": 1}).to_string()).ignore();
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

/// Waits until every order of the table is fulfilled, and checks that each was once and that Redis has nothing left.
pub(crate) async fn all_fulfilled_once(database: &TestDatabase, redis: &RedisServer) {
    eventually(LONG, "every order is fulfilled", async || {
        expect_equal(database.number("SELECT count(*) FROM orders WHERE status <> 'fulfilled'").await, 0)
    })
    .await;
    assert_eq!(not_fulfilled_exactly_once(database).await, 0, "orders without exactly one `fulfilled` event");
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
}

/// Waits until so many orders are in work.
pub(crate) async fn in_work(database: &TestDatabase, orders: i32) {
    let what = format!("{orders} orders are in work");
    eventually(LONG, &what, async || expect_equal(in_state(database, "processing").await, i64::from(orders))).await;
}

/// How often orders were taken into work, all attempts of all orders together.
pub(crate) async fn attempts_begun(database: &TestDatabase) -> i64 {
    database.number("SELECT count(*) FROM fulfillment.events WHERE state = 'processing'").await
}
