//! A key is shipped once.

use std::thread;

use serde_json::json;

use crate::support::warehouse::{WarehouseProcess, body, headers, key, order};
use crate::support::{LONG, eventually, expect_equal, http};

#[tokio::test]
async fn a_key_that_comes_again_is_answered_as_before() {
    let warehouse = WarehouseProcess::start(&[]).await;
    let first = warehouse.posted(1, 1);
    assert_eq!((first.status, body(&first)), (201, json!({"reference": "WH-1"})));
    assert_eq!(warehouse.posted(2, 1).body, br#"{"reference":"WH-2"}"#);
    let again = warehouse.posted(1, 2);
    assert_eq!((again.status, again.body), (200, first.body));
    let stats = warehouse.stats();
    let expected = json!({
        "calls": 3, "effects": 2, "keys": 2, "repeated_deliveries": 1, "double_effects": 0,
        "in_flight": 0, "in_flight_highest": 1, "done": {"shipped": 2, "repeated": 1},
    });
    assert_eq!(stats, expected);
}

/// Caught, when seeded: an order that is taken only when it is shipped.
#[tokio::test]
async fn of_many_calls_at_once_with_one_key_one_ships() {
    let warehouse = WarehouseProcess::start(&["--latency", "100ms"]).await;
    thread::scope(|scope| {
        let calls: Vec<_> = (1..=20)
            .map(|attempt| {
                scope.spawn({
                    let warehouse = &warehouse;
                    move || warehouse.posted(1, attempt).status
                })
            })
            .collect();
        let mut statuses: Vec<u16> = calls.into_iter().map(|call| call.join().expect("a status")).collect();
        statuses.retain(|status| *status == 201);
        assert_eq!(statuses, [201]);
    });
    assert_eq!(warehouse.stats()["effects"], 1);
}

#[tokio::test]
async fn a_key_that_is_being_worked_on_is_in_progress() {
    let warehouse = WarehouseProcess::start(&["--latency", "1h"]).await;
    let key = key(1);
    let text = order(1, 1).to_string();
    let _first = http::open(warehouse.address(), "POST", "/shipments", &headers(&key), text.as_bytes()).expect("sent");
    let path = format!("/shipments/{key}");
    let status = eventually(LONG, "the order is taken", async || {
        let answer = warehouse.ask("GET", &path, &[], b"");
        expect_equal(answer.status, 202).map(|()| answer)
    })
    .await;
    assert_eq!(status.headers["location"], path);
    let second = warehouse.posted(1, 2);
    assert_eq!((second.status, second.headers["retry-after"].as_str()), (409, "1"), "{}", second.text());
}

#[tokio::test]
async fn an_order_is_shipped_although_its_caller_has_hung_up() {
    let warehouse = WarehouseProcess::start(&["--latency", "200ms"]).await;
    let (key, text) = (key(1), order(1, 1).to_string());
    let call = http::open(warehouse.address(), "POST", "/shipments", &headers(&key), text.as_bytes()).expect("sent");
    eventually(LONG, "the call arrives", async || expect_equal(warehouse.stats()["keys"].as_u64(), Some(1))).await;
    drop(call);
    eventually(LONG, "it ships", async || expect_equal(warehouse.stats()["effects"].as_u64(), Some(1))).await;
    assert_eq!(warehouse.posted(1, 2).status, 200);
}

#[tokio::test]
async fn the_status_of_an_order_can_be_asked_for() {
    let warehouse = WarehouseProcess::start(&[]).await;
    let path = format!("/shipments/{}", key(1));
    assert_eq!(warehouse.ask("GET", &path, &[], b"").status, 404);
    let posted = warehouse.posted(1, 1);
    let status = warehouse.ask("GET", &path, &[], b"");
    assert_eq!((status.status, status.body), (200, posted.body));
}
