//! Against the reference warehouse, a process of its own.

use std::time::Duration;

use fulfillment_worker::config::HttpTarget;
use fulfillment_worker::port::fulfiller::Outcome;
use serde_json::{Value, json};

use crate::http_fulfiller::rig::{Rig, SECRETS, TOKEN, order, target, with_secrets};
use crate::support::warehouse::WarehouseProcess;

fn at(warehouse: &WarehouseProcess) -> HttpTarget {
    target(&format!("http://{}/shipments", warehouse.address()))
}

fn stat(warehouse: &WarehouseProcess, name: &str) -> Value {
    let stats = warehouse.stats();
    stats.get(name).unwrap_or_else(|| panic!("no {name} in {stats}")).clone()
}

fn reference(outcome: Outcome) -> String {
    match outcome {
        Outcome::Fulfilled { reference: Some(reference) } => reference,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_is_shipped_once_however_often_it_is_asked_for() {
    let warehouse = WarehouseProcess::start(&[]).await;
    let first = reference(Rig::new(&at(&warehouse)).call(&order(41)).await);
    let again = reference(Rig::new(&at(&warehouse)).call(&order(41)).await);
    assert_eq!(first, again);
    assert_eq!(stat(&warehouse, "effects"), 1);
}

#[tokio::test]
async fn a_warehouse_that_checks_token_and_signature_takes_the_order() {
    for secret in SECRETS {
        let warehouse = WarehouseProcess::start(&["--token", TOKEN, "--secret", secret]).await;
        reference(Rig::new(&with_secrets(at(&warehouse))).call(&order(41)).await);
        let refused = Rig::new(&at(&warehouse)).call(&order(42)).await;
        assert!(matches!(&refused, Outcome::Rejected { reason } if reason.contains("401")), "{refused:?}");
    }
}

/// Caught, when seeded: a question with the signature of another body.
#[tokio::test]
async fn a_status_that_is_asked_for_is_signed_too() {
    let options = ["--token", TOKEN, "--secret", SECRETS[0], "--finish-after", "100ms"];
    let warehouse = WarehouseProcess::start(&options).await;
    reference(Rig::new(&with_secrets(at(&warehouse))).call(&order(41)).await);
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_order_was_taken_is_ambiguous_and_the_repeat_ships_nothing_more() {
    let warehouse = WarehouseProcess::start(&["--cut-after", "1"]).await;
    let rig = Rig::new(&at(&warehouse));
    let lost = rig.call(&order(41)).await;
    assert!(matches!(lost, Outcome::Ambiguous { .. }), "{lost:?}");
    warehouse.behave(&json!({}));
    reference(rig.call(&order(41)).await);
    assert_eq!(stat(&warehouse, "effects"), 1);
}

#[tokio::test]
async fn a_connection_cut_before_the_order_was_taken_can_not_be_told_from_one_cut_after() {
    let warehouse = WarehouseProcess::start(&["--cut-before", "1"]).await;
    let lost = Rig::new(&at(&warehouse)).call(&order(41)).await;
    assert!(matches!(lost, Outcome::Ambiguous { .. }), "{lost:?}");
    assert_eq!(stat(&warehouse, "effects"), 0);
}

#[tokio::test]
async fn an_order_that_the_warehouse_has_in_work_is_in_progress() {
    let warehouse = WarehouseProcess::start(&["--latency", "2s"]).await;
    let rig = Rig::new(&at(&warehouse));
    let first = rig.begin(41);
    crate::support::eventually(crate::support::LONG, "the first call is under way", async || {
        crate::support::expect_equal(stat(&warehouse, "in_flight"), json!(1))
    })
    .await;
    let second = rig.call(&order(41)).await;
    assert!(matches!(&second, Outcome::InProgress { reason, .. } if reason.contains("409")), "{second:?}");
    reference(first.await.unwrap());
    assert_eq!(stat(&warehouse, "effects"), 1);
}

#[tokio::test]
async fn out_of_order_is_unavailable_until_the_time_that_the_warehouse_names() {
    let options = ["--errors", "1", "--error-status", "503", "--error-retry-after-seconds", "5"];
    let warehouse = WarehouseProcess::start(&options).await;
    let outcome = Rig::new(&at(&warehouse)).call(&order(41)).await;
    assert!(
        matches!(&outcome, Outcome::Unavailable { after: Some(after), .. } if *after == Duration::from_secs(5)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn what_the_warehouse_refuses_is_rejected_with_its_reason() {
    let warehouse = WarehouseProcess::start(&["--reject-product", "7"]).await;
    let outcome = Rig::new(&at(&warehouse)).call(&order(41)).await;
    assert!(matches!(&outcome, Outcome::Rejected { reason } if reason.contains("422")), "{outcome:?}");
}

#[tokio::test]
async fn an_answer_padded_to_a_gigabyte_and_compressed_is_an_answer() {
    let warehouse = WarehouseProcess::start(&["--padding-bytes", "1073741824", "--gzip"]).await;
    let outcome = Rig::new(&at(&warehouse)).call(&order(41)).await;
    assert!(matches!(outcome, Outcome::Fulfilled { .. }), "{outcome:?}");
}
