//! Telling it how to behave.

use serde_json::json;

use crate::support::warehouse::{WarehouseProcess, body};
use crate::support::worker::run_to_end;

#[tokio::test]
async fn what_it_started_with_is_shown_and_can_be_put_back() {
    let warehouse =
        WarehouseProcess::start(&["--latency", "0..20ms", "--errors", "0.25", "--reject-product", "3"]).await;
    let shown = body(&warehouse.ask("GET", "/behaviour", &[], b""));
    assert_eq!(shown["latency"], "0s..20ms");
    assert_eq!((&shown["errors"], &shown["reject_products"]), (&json!(0.25), &json!([3])));
    warehouse.behave(&shown);
    assert_eq!(body(&warehouse.ask("GET", "/behaviour", &[], b"")), shown);
}

#[tokio::test]
async fn what_is_not_said_has_its_default_again() {
    let warehouse = WarehouseProcess::start(&["--errors", "1"]).await;
    assert_eq!(warehouse.posted(1, 1).status, 500);
    warehouse.behave(&json!({}));
    assert_eq!(warehouse.posted(1, 2).status, 201);
}

#[tokio::test]
async fn a_behaviour_that_is_wrong_is_told_and_changes_nothing() {
    let warehouse = WarehouseProcess::start(&[]).await;
    let before = body(&warehouse.ask("GET", "/behaviour", &[], b""));
    let cases = [
        (422, r#"{"erors": 1}"#, "unknown field `erors`"),
        (422, r#"{"errors": 2}"#, "errors must be a number from 0 to 1"),
        (422, r#"{"errors": 0.6, "hang": 0.6}"#, "hang and the other shares"),
        (422, r#"{"latency": "5"}"#, "has no unit"),
        (422, r#"{"honour_keys": "no"}"#, "invalid type: string"),
        (400, r#"{"errors": "#, "EOF while parsing"),
    ];
    for (status, behaviour, says) in cases {
        let answer = warehouse.ask("PUT", "/behaviour", &[], behaviour.as_bytes());
        assert_eq!(answer.status, status, "{behaviour}: {}", answer.text());
        assert!(answer.text().contains(says), "{behaviour}: {}", answer.text());
    }
    assert_eq!(body(&warehouse.ask("GET", "/behaviour", &[], b"")), before);
}

#[test]
fn options_that_contradict_each_other_are_a_usage_error() {
    let output = run_to_end(&["warehouse", "--listen", "127.0.0.1:0", "--cut-before", "0.6", "--hang", "0.6"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("more than 1 together"), "{errors}");
}
