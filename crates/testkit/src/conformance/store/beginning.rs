//! Taking orders into work.

use std::time::Duration;

use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::port::store::{BeginRequest, Begun, OrderStore, TAKEN_OVER};

use super::{
    LEASE, StoreFixture, StoreRecords, When, begin, conclude, conclusion, fulfilled, is_started, pending_orders,
    request, requests, start,
};

pub async fn a_pending_order_is_started<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = fixture.put("pending", Duration::from_secs(60)).await;
    let created = fixture.row(order_id).await.fence;
    let asked = BeginRequest { order_id, attempt: 2, correlation_id: Some("basket 7".to_owned()) };
    let answers = worker.store.begin(&[asked]).await.unwrap();
    let [Begun::Started { order, fence, takeover, .. }] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(order.id, order_id);
    assert_eq!(order.attempt, 2);
    assert_eq!(order.correlation_id.as_deref(), Some("basket 7"));
    assert_eq!(order.quantity, 1);
    assert!(order.product_id >= 1);
    assert!(order.product.is_some(), "the product's name comes with the order");
    assert_eq!(order.created_at_micros, Some(created.0), "the fixture writes both columns at once");
    assert!(!takeover);
    let row = fixture.row(order_id).await;
    assert_eq!((row.status.as_str(), row.fence), ("processing", *fence));
}

/// Caught, when seeded: a wait counted from `updated_at`, which somebody may have written since.
pub async fn the_first_attempt_tells_how_long_its_order_has_waited<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = fixture.put("pending", Duration::from_secs(1_000)).await;
    fixture.set_updated(order_id, When::Ago(Duration::from_secs(10))).await;
    let waited = waited(&begin(&worker, order_id).await).expect("its first attempt").as_secs();
    assert!((1_000..1_300).contains(&waited), "{waited} s");
}

/// Caught, when seeded: every begin from `pending` taken for the first one.
pub async fn only_the_first_attempt_tells_how_long_its_order_has_waited<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let second = pending_orders(&fixture, 1).await[0];
    let asked = BeginRequest { attempt: 2, ..request(second) };
    assert_eq!(waited(&worker.store.begin(&[asked]).await.unwrap()[0]), None, "a second attempt");
    let silent = fixture.put("processing", LEASE + Duration::from_secs(1)).await;
    assert_eq!(waited(&begin(&worker, silent).await), None, "taken over");
}

pub async fn an_order_that_nobody_dated_has_not_waited<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    fixture.set_created(order_id, When::Never).await;
    assert_eq!(waited(&begin(&worker, order_id).await), None);
}

/// What the begin of an order that started says.
fn waited(begun: &Begun) -> Option<Duration> {
    let Begun::Started { waited, .. } = begun else { panic!("{begun:?}") };
    *waited
}

pub async fn an_order_that_is_not_there_is_unknown<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let nowhere = [99_999_999_999, i64::from(i32::MAX) + 1, i64::MAX, 123_456, 0, -1, i64::MIN].map(OrderId);
    let answers = worker.store.begin(&requests(&nowhere)).await.unwrap();
    assert_eq!(answers, vec![Begun::Unknown; nowhere.len()]);
}

pub async fn an_order_is_taken_over_only_after_its_lease<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let first = fixture.worker(LEASE).await;
    let second = fixture.worker(LEASE).await;
    let fresh = pending_orders(&fixture, 1).await[0];
    start(&first, fresh).await;
    let silent = fixture.put("processing", LEASE + Duration::from_secs(1)).await;
    let answers = second.store.begin(&requests(&[fresh, silent])).await.unwrap();
    assert!(matches!(answers[0], Begun::Busy(_)), "{answers:?}");
    assert!(matches!(answers[1], Begun::Started { takeover: true, .. }), "{answers:?}");
}

pub async fn the_timeline_tells_a_takeover_from_a_start<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let pending = pending_orders(&fixture, 1).await[0];
    let silent = fixture.put("processing", LEASE + Duration::from_secs(1)).await;
    worker.store.begin(&requests(&[pending, silent])).await.unwrap();
    let mut notes = Vec::new();
    for order_id in [pending, silent] {
        notes.extend(fixture.timeline(order_id).await.into_iter().map(|entry| entry.note));
    }
    assert_eq!(notes, [None, Some(TAKEN_OVER.to_owned())]);
}

pub async fn an_order_in_work_is_busy_for_the_rest_of_its_lease<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = fixture.put("processing", LEASE / 2).await;
    let Begun::Busy(left) = begin(&worker, order_id).await else { panic!("not busy") };
    assert!(left <= LEASE / 2 && left > LEASE / 4, "{left:?}");
}

pub async fn a_status_of_somebody_else_is_named_and_left_alone<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(Duration::ZERO).await;
    let order_id = fixture.put("cancelled", LEASE).await;
    let before = fixture.row(order_id).await;
    assert_eq!(begin(&worker, order_id).await, Begun::NotOurs("cancelled".to_owned()));
    assert_eq!(fixture.row(order_id).await, before);
}

pub async fn the_same_order_twice_in_a_batch_is_started_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 2).await;
    let done = fixture.put("fulfilled", LEASE).await;
    let batch = [order_ids[1], order_ids[0], order_ids[1], done, OrderId(123_456), done, order_ids[1]];
    let answers = worker.store.begin(&requests(&batch)).await.unwrap();
    assert!(is_started(&answers[0]) && is_started(&answers[1]), "{answers:?}");
    for second in [2, 6] {
        let Begun::Busy(left) = answers[second] else { panic!("{answers:?}") };
        assert!(left <= LEASE && left > LEASE / 2, "{left:?}");
    }
    assert_eq!(answers[3], Begun::AlreadyFinal(State::Fulfilled));
    assert_eq!(answers[4], Begun::Unknown);
}

pub async fn an_order_begun_again_in_the_next_batch_is_busy<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    assert!(matches!(begin(&worker, order_id).await, Begun::Busy(_)));
    assert_eq!(fixture.row(order_id).await.fence, fence);
}

pub async fn answers_come_by_position<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let first = pending_orders(&fixture, 1).await[0];
    let failed = fixture.put("failed", LEASE).await;
    let foreign = fixture.put("on hold", LEASE).await;
    let last = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, last).await;
    conclude(&worker, conclusion(last, fence, fulfilled())).await;
    let batch = [last, foreign, OrderId(99_999_999_999), first, failed];
    let answers = worker.store.begin(&requests(&batch)).await.unwrap();
    assert_eq!(answers.len(), 5);
    assert_eq!(answers[0], Begun::AlreadyFinal(State::Fulfilled));
    assert_eq!(answers[1], Begun::NotOurs("on hold".to_owned()));
    assert_eq!(answers[2], Begun::Unknown);
    assert!(matches!(&answers[3], Begun::Started { order, .. } if order.id == first), "{answers:?}");
    assert_eq!(answers[4], Begun::AlreadyFinal(State::Failed));
}

pub async fn a_row_that_the_database_refuses_does_not_harm_its_neighbours<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 20).await;
    let bad = [order_ids[3], order_ids[4], order_ids[19]];
    for order_id in bad {
        fixture.refuse(order_id).await;
    }
    let answers = worker.store.begin(&requests(&order_ids)).await.unwrap();
    for (order_id, answer) in order_ids.iter().zip(&answers) {
        let status = fixture.row(*order_id).await.status;
        if bad.contains(order_id) {
            assert!(matches!(answer, Begun::Refused(reason) if !reason.is_empty()), "{answer:?}");
            assert_eq!(status, "pending");
        } else {
            assert!(is_started(answer), "{answer:?}");
            assert_eq!(status, "processing");
        }
    }
    assert_eq!(answers.len(), order_ids.len());
}

pub async fn a_thousand_orders_are_started_in_one_call<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 1_000).await;
    let answers = worker.store.begin(&requests(&order_ids)).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| is_started(answer)).count(), 1_000);
}

pub async fn a_nul_character_in_a_correlation_id_is_no_reason_to_refuse<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let asked = BeginRequest { correlation_id: Some("a\0b".to_owned()), ..request(order_id) };
    let answers = worker.store.begin(&[asked]).await.unwrap();
    assert!(is_started(&answers[0]), "{answers:?}");
    assert_eq!(fixture.timeline(order_id).await.len(), 1);
}
