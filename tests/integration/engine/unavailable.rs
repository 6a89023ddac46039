//! Fulfillers that take no work now, or have an order in work already: nothing is spent, nothing piles up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fulfillment_worker::domain::order::{IdempotencyKey, Order};
use fulfillment_worker::port::fulfiller::{Fulfiller, Outcome};
use tokio::sync::{Notify, Semaphore};

use crate::engine::rig::{Place, fulfilled, options};

/// Answers `first` for the first two calls, and fulfils the third.
async fn fulfilled_at_the_third_call(first: Outcome) -> (Vec<String>, Vec<String>) {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let calls = Arc::new(AtomicUsize::new(0));
    let mut engine = place.start(options(), move |_| {
        let outcome = if calls.fetch_add(1, Ordering::SeqCst) < 2 { first.clone() } else { fulfilled() };
        Box::pin(async { outcome })
    });
    let told = engine.until("fulfilled 1").await;
    assert_eq!(engine.stop().await, 0);
    (told, place.timeline(id).await)
}

const NO_ATTEMPT_SPENT: [&str; 6] =
    ["processing@1", "pending@1", "processing@1", "pending@1", "processing@1", "fulfilled@1"];

/// Caught an engine that counted an unavailable fulfiller as a failed attempt.
#[tokio::test]
async fn a_fulfiller_that_is_unavailable_costs_no_attempt() {
    let unavailable = Outcome::Unavailable { reason: "HTTP 503".to_owned(), after: None };
    let (told, timeline) = fulfilled_at_the_third_call(unavailable).await;
    assert_eq!(timeline, NO_ATTEMPT_SPENT);
    assert_eq!(told.iter().filter(|event| *event == "call 1 unavailable").count(), 2, "{told:?}");
    assert!(!told.iter().any(|event| event.starts_with("failed")), "{told:?}");
}

#[tokio::test]
async fn an_order_that_is_in_progress_is_asked_for_again_and_costs_no_attempt() {
    let in_progress = Outcome::InProgress { reason: "HTTP 409".to_owned(), after: None };
    let (told, timeline) = fulfilled_at_the_third_call(in_progress).await;
    assert_eq!(timeline, NO_ATTEMPT_SPENT);
    assert_eq!(told.iter().filter(|event| event.starts_with("retried 1 fulfiller_in_progress")).count(), 2, "{told:?}");
}

/// Takes as many orders as there are places, and says when it was asked for room in vain.
struct Gate {
    places: Semaphore,
    full: Notify,
}

#[async_trait::async_trait]
impl Fulfiller for Gate {
    async fn fulfil(&self, _: &Order, _: &IdempotencyKey) -> Outcome {
        self.places.acquire().await.unwrap().forget();
        fulfilled()
    }

    async fn capacity(&self) -> usize {
        if self.places.available_permits() == 0 {
            self.full.notify_one();
        }
        drop(self.places.acquire().await.unwrap());
        self.places.available_permits()
    }
}

/// Caught a worker that claimed as many orders as it had permits for.
#[tokio::test]
async fn no_more_is_claimed_than_the_fulfiller_has_room_for() {
    let place = Place::new();
    place.submit(5).await;
    let gate = Arc::new(Gate { places: Semaphore::new(0), full: Notify::new() });
    let options = options();
    let (queue, store) = (place.queue(options.lease), place.store(options.lease));
    let mut engine = place.start_with(queue, store, options, gate.clone());

    gate.full.notified().await;
    assert_eq!(place.depth().await.waiting, 5, "there is no room yet");
    gate.places.add_permits(2);
    engine.until("fulfilled").await;
    engine.until("fulfilled").await;
    gate.full.notified().await;
    assert_eq!(place.depth().await.waiting, 3, "there was room for two");
    assert_eq!(engine.stop().await, 0);
    assert_eq!(place.depth().await.waiting, 3, "a drain ends the wait for room");
}
