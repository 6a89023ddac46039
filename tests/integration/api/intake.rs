//! Orders that programs put in.

use serde_json::json;

use super::{Served, document, problem};
use crate::support::{LONG, eventually, expect_equal};

#[tokio::test]
async fn on_servers_orders_are_put_in_one_by_one_in_batches_and_as_lines() {
    put_in(Served::by_servers(&[]).await).await;
}

#[tokio::test]
async fn embedded_orders_are_put_in_one_by_one_in_batches_and_as_lines() {
    put_in(Served::embedded(&[]).await).await;
}

async fn put_in(served: Served) {
    let order = json!({"product": "TEA", "quantity": 3, "price": "12.50", "correlation_id": "c-1"});
    let one = document(&served.post("/orders", &order), 201);
    assert_eq!(one["created"], 1);
    document(&served.post("/orders/batch", &json!({"orders": [order, {"product": "", "quantity": 1}]})), 201);
    let lines = "{\"product\":\"A\",\"quantity\":1}\n\n{\"product\":\"B\",\"quantity\":2}\r\n";
    for kind in ["application/x-ndjson", "application/jsonl; charset=utf-8"] {
        let made = document(&served.ask("bob", "POST", "/orders/batch", &[("Content-Type", kind)], lines), 201);
        assert_eq!(made["created"], 2, "{made}");
    }
    let fulfilled = async || {
        let orders = served.read("/orders?state=fulfilled");
        expect_equal(orders["orders"].as_array().map(Vec::len), Some(7))
    };
    eventually(LONG, "all are fulfilled", fulfilled).await;
    let id = one["orders"][0]["order_id"].as_i64().expect("an id");
    let shown = served.read(&format!("/orders/{id}"));
    assert_eq!((&shown["product"], &shown["quantity"]), (&json!("TEA"), &json!(3)));
    assert_eq!(shown["timeline"][0]["correlation_id"], "c-1");
}

/// Caught, when seeded: a fingerprint of the body's length alone, and one that leaves the path out.
#[tokio::test]
async fn the_same_request_under_its_key_is_answered_as_before_and_another_one_is_refused() {
    for served in [Served::by_servers(&[]).await, Served::embedded(&[]).await] {
        let orders = r#"{"orders":[{"product":"A","quantity":1},{"product":"A","quantity":1}]}"#;
        let line = r#"{"product":"A","quantity":1}"#;
        let put = |path: &str, kind: &str, key: &str, body: &str| {
            served.ask("bob", "POST", path, &[("Content-Type", kind), ("Idempotency-Key", key)], body)
        };
        let batch = |key: &str, body: &str| put("/orders/batch", "application/json", key, body);
        let first = batch("k-1", orders);
        assert_eq!(document(&first, 201)["created"], 2);
        let again = batch("k-1", orders);
        assert_eq!(document(&again, 201), document(&first, 201));
        for other in [
            batch("k-1", &orders.replacen('1', "2", 1)),
            batch("k-1", &format!("{orders} ")),
            put("/orders", "application/json", "k-1", line),
        ] {
            assert_eq!(problem(&other, 422)["parameter"], "Idempotency-Key");
        }
        document(&put("/orders", "application/json", "k-2", line), 201);
        assert_eq!(problem(&put("/orders/batch", "application/x-ndjson", "k-2", line), 422)["status"], 422);
        assert_eq!(document(&batch("k-3", orders), 201)["created"], 2);
        for key in ["", "a b", &"x".repeat(256)] {
            assert_eq!(problem(&batch(key, orders), 400)["parameter"], "Idempotency-Key", "{key}");
        }
        // What can't be used is no request: its key is free.
        problem(&batch("k-4", r#"{"orders":[{"product":"A","quantity":0}]}"#), 422);
        assert_eq!(document(&batch("k-4", orders), 201)["created"], 2);
        assert_eq!(served.read("/orders")["orders"].as_array().map(Vec::len), Some(7));
    }
}

#[tokio::test]
async fn where_one_order_of_a_batch_can_not_be_used_each_such_is_named_and_none_is_put_in() {
    let served = Served::embedded(&[]).await;
    let lines = [
        r#"{"product":"A","quantity":1}"#,
        r#"{"product":"A","quantity":0}"#,
        r#"{"product":"A","quantity":"1"}"#,
        r#"{"product":"A","quantity":1,"colour":"red"}"#,
        r#"{"product":"A","quantity":1,"price":"1.005"}"#,
        r#"{"product":"A\u0000","quantity":1}"#,
        r#"["A",1]"#,
        "A;1",
    ]
    .join("\n");
    let said =
        problem(&served.ask("bob", "POST", "/orders/batch", &[("Content-Type", "application/x-ndjson")], &lines), 422);
    let errors = said["errors"].as_array().expect("errors");
    let places: Vec<_> = errors.iter().map(|error| error["index"].as_i64().expect("a place")).collect();
    assert_eq!(places, [1, 2, 3, 4, 5, 6, 7], "{said}");
    assert!(errors[2]["detail"].as_str().is_some_and(|detail| detail.contains("colour")), "{said}");
    let single = problem(&served.post("/orders", &json!({"product": "A", "quantity": 0})), 422);
    assert_eq!(single["field"], "quantity");
    let many = vec![json!({"product": "A", "quantity": 1}); 1_001];
    problem(&served.post("/orders/batch", &json!({ "orders": many })), 422);
    problem(&served.post("/orders/batch", &json!({ "orders": [] })), 422);
    assert_eq!(served.read("/orders")["orders"], json!([]));
}
