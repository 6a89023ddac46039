//! `cancel`, `hold` and `release` by the real binary on an embedded database.

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::intake::{Intake, NewOrder};
use fulfillment_worker::port::store::{BeginRequest, OrderStore};
use serde_json::json;

use crate::dead_letters::place::Place;

/// A place with pending orders, which count from 1.
async fn place_with(count: usize) -> Place {
    let place = Place::new();
    let order = NewOrder { product: "Cup".to_owned(), price_cents: 185, quantity: 3 };
    place.store.insert(&vec![order; count]).await.unwrap();
    place
}

async fn begin(place: &Place, id: i64) {
    let request = BeginRequest { order_id: OrderId(id), attempt: 1, correlation_id: Some("basket 7".to_owned()) };
    place.store.begin(&[request]).await.unwrap();
}

#[tokio::test]
async fn a_cancel_says_of_each_order_what_became_of_it() {
    let place = place_with(3).await;
    begin(&place, 2).await;
    let ended = place.run(&["cancel", "1", "2", "9", "1", "--why", "recalled"]);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[0], "order 1: cancelled before its call");
    assert!(
        lines[1]
            .starts_with("order 2: cancelled while it was being worked on: whether it was shipped is not known; ask")
    );
    assert!(lines[1].contains("under key order-2-"), "{}", lines[1]);
    assert_eq!(lines[2..], ["order 9: no such order"]);
    assert_eq!((ended.code, ended.stderr.contains("not done for 1 order")), (Some(1), true), "{ended:?}");
    assert_eq!([place.state(1), place.state(2), place.state(3)], ["cancelled", "cancelled", "pending"]);
    let order = place.run(&["order", "2", "--json"]).json();
    assert_eq!(order["timeline"].as_array().unwrap().last().unwrap()["note"], "cancelled by carla: recalled");
}

#[tokio::test]
async fn a_cancel_is_documented_json_and_twice_no_error() {
    let place = place_with(1).await;
    begin(&place, 1).await;
    let first = place.run(&["cancel", "1", "--why", "recalled", "--json"]).json();
    assert_eq!((&first["version"], &first["done"], &first["dry_run"]), (&json!(1), &json!(1), &json!(false)));
    let order = &first["orders"][0];
    assert_eq!(
        (&order["result"], &order["state"], &order["unknown_at_fulfiller"]),
        (&json!("done"), &json!("processing"), &json!(true))
    );
    assert!(order["idempotency_key"].as_str().unwrap().starts_with("order-1-"));
    let second = place.run(&["cancel", "1", "--why", "recalled", "--json"]).json();
    assert_eq!((&second["unchanged"], &second["orders"][0]["state"]), (&json!(1), &json!("cancelled")));
}

#[tokio::test]
async fn a_failed_order_is_left_to_its_dead_letter() {
    let place = Place::new();
    place.fail(1).await;
    let ended = place.run(&["cancel", "1", "--why", "recalled"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("order 1: failed: nothing works on it; close its dead letter with `dead discard`"),
        "{ended:?}"
    );
    assert_eq!(place.state(1), "failed");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let place = place_with(1).await;
    for command in ["cancel", "hold"] {
        let ended = place.run(&[command, "1", "--why", "recalled", "--dry-run"]);
        assert_eq!((ended.code, ended.stdout.starts_with("order 1 (dry run): ")), (Some(0), true), "{ended:?}");
    }
    assert_eq!(place.state(1), "pending");
    assert_eq!(place.run(&["status", "--json"]).json()["held"], 0);
}

/// Caught, when seeded: a release that pushes nothing.
#[tokio::test]
async fn a_release_pushes_one_message_of_the_row() {
    let place = place_with(2).await;
    assert_eq!(place.run(&["hold", "1", "2", "--why", "stock"]).code, Some(0));
    assert_eq!(place.run(&["status", "--json"]).json()["held"], 2);
    let ended = place.run(&["release", "1", "1", "--why", "stock is in"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "order 1: released\n"), "{ended:?}");
    let messages = place.messages().await;
    let message: serde_json::Value = serde_json::from_slice(&messages[0]).unwrap();
    assert_eq!((messages.len(), message), (1, json!({"order_id": 1, "product_id": 1, "quantity": 3})));
    let ended = place.run(&["release", "1", "--why", "again"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "order 1: not held; it is pending\n"));
    assert_eq!(place.messages().await.len(), 0);
}

#[tokio::test]
async fn a_hold_says_how_long_it_lasts_and_when_it_takes_effect() {
    let place = place_with(2).await;
    begin(&place, 2).await;
    let ended = place.run(&["hold", "1", "2", "--for", "2d", "--why", "stock"]);
    let expected = "order 1: held for 2days\n\
                    order 2: being worked on: the hold takes effect if it is tried again, and lasts for 2days\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), expected), "{ended:?}");
    let until = place.run(&["hold", "1", "--until", "2199-01-02T08:00:00+01:00", "--why", "sale"]);
    assert_eq!(until.stdout, "order 1: held until 2199-01-02T07:00:00Z\n");
}

#[test]
fn what_is_wrong_is_named_before_anything_is_asked() {
    let place = Place::new();
    let many: Vec<String> = (1..=1_001).map(|id| id.to_string()).collect();
    let many: Vec<&str> = ["hold", "--why", "x"].into_iter().chain(many.iter().map(String::as_str)).collect();
    let cases: [(&[&str], &str); 6] = [
        (&["hold", "1", "--why", "x", "--until", "2020-01-01T00:00:00Z"], "lies in the past"),
        (&["hold", "1", "--why", "x", "--until", "2199-01-01T00:00:00"], "with its zone"),
        (&["hold", "1", "--why", "x", "--until", "2199-01-01T00:00:00Z", "--for", "1h"], "cannot be used with"),
        (&["cancel", "1"], "--why"),
        (&["cancel", "--why", "x"], "<ID"),
        (&many, "1001 orders are more than 1000"),
    ];
    for (arguments, expected) in cases {
        let ended = place.run(arguments);
        assert_eq!((ended.code, ended.stderr.contains(expected)), (Some(2), true), "{arguments:?}: {ended:?}");
    }
}
