//! What a warehouse gets and answers.

use serde_json::{Value, json};

use crate::support::python::python;
use crate::support::warehouse::{WarehouseProcess, body, headers, key, order};

/// Caught, when seeded: a quantity of 0 that is taken.
#[tokio::test]
async fn it_keeps_to_its_description() {
    let warehouse = WarehouseProcess::start(&["--token", "open-sesame"]).await;
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/warehouse.openapi.yaml");
    let url = format!("http://{}", warehouse.address());
    let output = python()
        .args(["-m", "schemathesis.cli", "run", description, "--url", &url])
        .args(["--header", "Authorization: Bearer open-sesame", "--seed", "1", "--max-examples", "50", "--no-color"])
        // It leaves files of its own.
        .current_dir(warehouse.folder())
        .output()
        .expect("schemathesis starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let stats = warehouse.stats();
    assert!(stats["calls"].as_u64() > Some(50) && stats["effects"].as_u64() > Some(5), "hardly tested: {stats}");
}

#[tokio::test]
async fn a_body_that_is_wrong_is_answered_with_the_field() {
    let warehouse = WarehouseProcess::start(&[]).await;
    let cases = [
        ("order_id", json!(0)),
        ("product_id", json!("7")),
        ("quantity", json!(-1)),
        ("quantity", json!(1.5)),
        ("attempt", Value::Null),
        ("product", json!(7)),
        ("correlation_id", json!([])),
        ("created_at", json!("2010-12-01T08:26:00Z")),
        ("created_at", json!("2010-13-01T08:26:00.000000")),
    ];
    for (field, value) in cases {
        let mut wrong = order(1, 1);
        wrong[field] = value.clone();
        let answer = warehouse.ask("POST", "/shipments", &headers(&key(1)), wrong.to_string().as_bytes());
        assert_eq!((answer.status, &body(&answer)["field"]), (422, &json!(field)), "{value}: {}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    assert_eq!(warehouse.stats()["effects"], 0);
}

#[tokio::test]
async fn a_field_that_is_missing_is_named() {
    let warehouse = WarehouseProcess::start(&[]).await;
    for field in ["order_id", "product_id", "quantity", "attempt"] {
        let mut short = order(1, 1);
        short.as_object_mut().expect("an object").remove(field);
        let answer = warehouse.ask("POST", "/shipments", &headers(&key(1)), short.to_string().as_bytes());
        assert_eq!((answer.status, &body(&answer)["field"]), (422, &json!(field)), "{}", answer.text());
    }
}

#[tokio::test]
async fn what_is_not_json_is_told_so() {
    let warehouse = WarehouseProcess::start(&[]).await;
    let answer = warehouse.ask("POST", "/shipments", &headers(&key(1)), b"{\"order_id\":");
    assert_eq!((answer.status, &body(&answer)["field"]), (400, &json!("body")), "{}", answer.text());
    let large = vec![b' '; 64 * 1024 + 1];
    let answer = warehouse.ask("POST", "/shipments", &headers(&key(1)), &large);
    assert_eq!((answer.status, &body(&answer)["field"]), (413, &json!("body")), "{}", answer.text());
}

#[tokio::test]
async fn a_header_that_is_wrong_is_named() {
    let warehouse = WarehouseProcess::start(&[]).await;
    let json_type = ("Content-Type", "application/json");
    let key = ("Idempotency-Key", "order-1");
    let refused = |headers: &[(&str, &str)], status: u16, field: &str| {
        let answer = warehouse.ask("POST", "/shipments", headers, order(1, 1).to_string().as_bytes());
        assert_eq!((answer.status, &body(&answer)["field"]), (status, &json!(field)), "{headers:?}");
    };
    refused(&[key], 415, "Content-Type");
    refused(&[key, ("Content-Type", "text/plain")], 415, "Content-Type");
    refused(&[key, json_type, ("Content-Encoding", "gzip")], 415, "Content-Encoding");
    refused(&[json_type], 400, "Idempotency-Key");
    refused(&[json_type, ("Idempotency-Key", "\"order-1\"")], 400, "Idempotency-Key");
}

#[tokio::test]
async fn fields_of_later_versions_are_ignored() {
    let warehouse = WarehouseProcess::start(&[]).await;
    let mut later = order(1, 1);
    later["warehouse_id"] = json!({"zone": 3});
    let answer = warehouse.ask("POST", "/shipments", &headers(&key(1)), later.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
}
