//! Calls of which nobody knows whether they were carried out: repeated with the same key, or parked for a person.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::domain::retry::WhenAmbiguous;
use fulfillment_worker::engine::EngineOptions;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters};
use fulfillment_worker::port::fulfiller::Outcome;
use fulfillment_worker::port::queue::Depth;
use fulfillment_worker::port::store::{BeginRequest, Begun, OrderStore, TAKEN_OVER};
use tokio::sync::Notify;

use crate::engine::faults::{HeldUp, Moment};
use crate::engine::rig::{Place, fulfilled, options, try_again};

/// How long the row of a worker that died is left to it.
const SHORT_LEASE: Duration = Duration::from_millis(50);

fn parking() -> EngineOptions {
    let mut options = options();
    options.retry.when_ambiguous = WhenAmbiguous::Park;
    options
}

fn cut() -> Outcome {
    Outcome::Ambiguous { reason: "the connection was lost".to_owned(), after: None, spent: true }
}

/// Cut, when every call is: that says nothing about the order.
fn cut_like_all() -> Outcome {
    Outcome::Ambiguous { reason: "the connection was lost".to_owned(), after: None, spent: false }
}

async fn assert_parked(place: &Place, id: OrderId, detail: &str) {
    let letters = place.store(Duration::from_secs(1)).list(&DeadLetterFilter::default(), 0, 10).await.unwrap();
    let parked: Vec<_> =
        letters.iter().map(|letter| (letter.order_id, letter.reason.as_str(), letter.detail.as_str())).collect();
    assert_eq!(parked, [(Some(id), "ambiguous", detail)]);
    assert!(place.timeline(id).await.last().unwrap().starts_with("failed@"));
    assert_eq!(place.depth().await, Depth::default());
}

#[tokio::test]
async fn an_ambiguous_call_is_repeated_and_marked_in_the_timeline() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let mut engine =
        place.start(options(), |order| Box::pin(async move { if order.attempt == 1 { cut() } else { fulfilled() } }));
    let told = engine.until("fulfilled 1").await;
    assert_eq!(told[0], "call 1 ambiguous");
    assert_eq!(place.timeline(id).await, ["processing@1", "pending@1", "processing@2", "fulfilled@2"]);
    assert_eq!(place.notes(id).await[1], "ambiguous: the connection was lost");
}

#[tokio::test]
async fn an_ambiguous_call_costs_no_attempt_when_every_call_fails() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let mut engine = place.start(options(), move |_| {
        let first = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        Box::pin(async move { if first { cut_like_all() } else { fulfilled() } })
    });
    let told = engine.until("fulfilled 1").await;
    assert_eq!(told[0], "call 1 ambiguous");
    assert_eq!(place.timeline(id).await, ["processing@1", "pending@1", "processing@1", "fulfilled@1"]);
    assert_eq!(place.notes(id).await[1], "ambiguous: the connection was lost");
}

#[tokio::test]
async fn with_parking_an_ambiguous_call_is_not_repeated_even_when_every_call_fails() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let mut engine = place.start(parking(), |_| Box::pin(async { cut_like_all() }));
    engine.until("dead 1 ambiguous").await;
    assert_eq!(engine.stop().await, 0);
    assert_parked(&place, id, "ambiguous: the connection was lost").await;
}

#[tokio::test]
async fn an_order_taken_from_a_dead_worker_is_marked_in_the_timeline() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    begun_by_a_worker_that_died(&place, id).await;
    let (queue, store) = (place.queue(options().lease), place.store(SHORT_LEASE));
    let mut engine = place.start_on(queue, store, options(), |_| Box::pin(async { fulfilled() }));
    engine.until("fulfilled 1").await;
    assert_eq!(place.notes(id).await, ["", TAKEN_OVER, ""]);
}

/// Caught an engine that retried whatever had failed.
#[tokio::test]
async fn with_parking_an_ambiguous_call_is_not_repeated() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let mut engine = place.start(parking(), |_| Box::pin(async { cut() }));
    engine.until("dead 1 ambiguous").await;
    assert_eq!(engine.stop().await, 0);
    assert_parked(&place, id, "ambiguous: the connection was lost").await;
}

#[tokio::test]
async fn with_parking_a_call_without_an_answer_is_not_repeated() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let options = EngineOptions { call_timeout: Duration::from_millis(50), ..parking() };
    let mut engine = place.start(options, |_| Box::pin(std::future::pending()));
    engine.until("dead 1 ambiguous").await;
    assert_eq!(engine.stop().await, 0);
    assert_parked(&place, id, "ambiguous: no answer from the fulfiller within 50ms").await;
}

#[tokio::test]
async fn with_parking_an_order_in_progress_is_not_asked_for_again() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let mut engine = place
        .start(parking(), |_| Box::pin(async { Outcome::InProgress { reason: "HTTP 409".to_owned(), after: None } }));
    engine.until("dead 1 ambiguous").await;
    assert_eq!(engine.stop().await, 0);
    assert_parked(&place, id, "HTTP 409").await;
}

/// Caught an engine that parked failed calls only: the worker that died may have called, too.
#[tokio::test]
async fn with_parking_an_order_taken_from_a_dead_worker_is_not_called_for() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    begun_by_a_worker_that_died(&place, id).await;
    let (queue, store) = (place.queue(parking().lease), place.store(SHORT_LEASE));
    let mut engine = place.start_on(queue, store, parking(), |_| Box::pin(async { panic!("must not be called") }));
    engine.until("dead 1 ambiguous").await;
    assert_eq!(engine.stop().await, 0);
    assert_parked(&place, id, TAKEN_OVER).await;
}

/// Tells when it is dropped, as a call is that a drain breaks off.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Found in a review: the drain handed the order back, and the next worker called.
#[tokio::test]
async fn with_parking_an_order_taken_over_while_a_drain_ends_is_parked_all_the_same() {
    let place = Place::new();
    place.submit(1).await;
    let broken_off = Arc::new(Notify::new());
    let signal = Arc::clone(&broken_off);
    let options = EngineOptions { drain_timeout: Duration::from_secs(2), ..parking() };
    // Somebody who thinks that leases are over at once.
    let store = HeldUp::new(place.store(Duration::ZERO), Moment::Begun);
    let mut engine = place.start_on(place.queue(options.lease), store.clone(), options, move |order| {
        assert_eq!(order.id, OrderId(1), "the one that is taken over must not be called for");
        let told = Told(Arc::clone(&signal));
        Box::pin(async move {
            let _told = told;
            std::future::pending().await
        })
    });
    store.reached.notified().await;
    store.answer.notify_one();

    let new = place.insert(1).await[0];
    begun_by_a_worker_that_died(&place, new).await;
    place.push(&[new]).await;
    store.reached.notified().await;
    engine.begin_to_stop();
    broken_off.notified().await;
    store.answer.notify_one();
    engine.until("dead 2 ambiguous").await;
    assert_eq!(engine.stop().await, 0);
    assert_eq!(place.notes(new).await.last().unwrap(), TAKEN_OVER);
}

/// Caught a drain that handed back orders whose calls were under way.
#[tokio::test]
async fn with_parking_a_call_that_a_drain_breaks_off_is_not_repeated() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let started = Arc::new(Notify::new());
    let signal = Arc::clone(&started);
    let options = EngineOptions { drain_timeout: Duration::from_secs(4), ..parking() };
    let engine = place.start(options, move |_| {
        signal.notify_one();
        Box::pin(std::future::pending())
    });
    started.notified().await;
    assert_eq!(engine.stop().await, 0);
    assert_parked(&place, id, "ambiguous: broken off by shutdown").await;
}

#[tokio::test]
async fn with_parking_a_call_that_certainly_did_nothing_is_repeated() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let mut engine = place.start(parking(), |order| {
        Box::pin(async move { if order.attempt == 1 { try_again("HTTP 408") } else { fulfilled() } })
    });
    engine.until("fulfilled 1").await;
    assert_eq!(place.timeline(id).await, ["processing@1", "pending@1", "processing@2", "fulfilled@2"]);
}

/// Leaves the message where it was, and the row in a worker's hands whose lease will soon be over.
async fn begun_by_a_worker_that_died(place: &Place, id: OrderId) {
    let request = BeginRequest { order_id: id, attempt: 1, correlation_id: None };
    let begun = place.store(Duration::from_secs(1)).begin(&[request]).await.unwrap();
    assert!(matches!(begun[0], Begun::Started { takeover: false, .. }), "{begun:?}");
}

/// Nobody else has moved the row, and the call may have been carried out.
///
/// Caught, when seeded: a row that goes back to `pending`, so that the next attempt knows nothing of the call and makes it again.
#[tokio::test]
async fn with_parking_a_row_whose_renewal_the_database_refuses_is_left_as_it_is_and_parked_at_its_takeover() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let started = Arc::new(Notify::new());
    let signal = Arc::clone(&started);
    let mut engine = place.start(EngineOptions { lease: Duration::from_secs(2), ..parking() }, move |_| {
        let signal = Arc::clone(&signal);
        Box::pin(async move {
            signal.notify_one();
            std::future::pending::<Outcome>().await
        })
    });
    started.notified().await;
    let is_renewal = "OLD.status = 'processing' AND NEW.status = 'processing'";
    let refusal = "BEGIN SELECT RAISE(ABORT, 'no renewals'); END";
    place.execute(&format!("CREATE TRIGGER refuses BEFORE UPDATE ON orders WHEN {is_renewal} {refusal}"));
    engine.until("lost row 1").await;
    place.execute("DROP TRIGGER refuses");
    engine.until("dead 1 ambiguous").await;
    assert_eq!(place.timeline(id).await, ["processing@1", "processing@1", "failed@1"]);
    assert_parked(&place, id, TAKEN_OVER).await;
}
