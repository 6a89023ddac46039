//! Admits claims: a batch slot, a place for each order, and spare capacity in queue, store and fulfiller.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backpressure::Backpressure;
use super::controls::{Gate, Pass};
use super::options::{BATCH, BATCHES_AT_ONCE};
use super::places::{Places, Reserved, acquire};
use crate::event::{Observers, OrderEvent, Throttle};
use crate::port::fulfiller::Fulfiller;

/// How often a throttle is reported while it lasts.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How soon it is asked again whether the fulfiller takes more than what is in hand for it: by itself it doesn't tell.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Allows one claim of as many messages as there are `places`.
pub(crate) struct Admission {
    /// To be dropped when the batch is begun.
    pub(crate) slot: OwnedSemaphorePermit,
    /// To be split among the messages.
    pub(crate) places: Reserved,
    /// To be dropped when the claim is answered.
    pub(crate) pass: Pass,
}

/// Decides when the next claim may be made, and of how many messages.
pub(crate) struct AdmissionControl {
    pub(crate) fulfiller: Arc<dyn Fulfiller>,
    pub(crate) backpressure: Arc<Backpressure>,
    pub(crate) observers: Observers,
    places: Arc<Places>,
    gate: Arc<Gate>,
    slots: Arc<Semaphore>,
}

impl AdmissionControl {
    pub(crate) fn new(
        fulfiller: Arc<dyn Fulfiller>,
        backpressure: Arc<Backpressure>,
        observers: Observers,
        places: Arc<Places>,
        gate: Arc<Gate>,
    ) -> Self {
        Self { fulfiller, backpressure, observers, places, gate, slots: Arc::new(Semaphore::new(BATCHES_AT_ONCE)) }
    }

    /// Waits until operators allow claims, for a free batch slot, room for one order, and spare capacity in queue, store and
    /// fulfiller. Takes as many places as all of them allow. Cancel-safe.
    pub(crate) async fn admit(&self) -> Admission {
        let slot = self.throttled_by(Throttle::Begin, acquire(&self.slots)).await;
        loop {
            self.throttled_by(Throttle::Paused, self.gate.opened()).await;
            let rate = self.throttled_by(Throttle::Rate, self.gate.rate()).await;
            self.throttled_by(Throttle::Concurrency, self.places.room()).await;
            let (backends, calls) = self.capacity().await;
            // Looked at last: what was allowed before the waits may not be any more.
            let Some(pass) = self.gate.enter() else { continue };
            if let Some(places) = self.places.reserve(backends.min(rate).min(BATCH), calls) {
                return Admission { slot, places, pass };
            }
            drop(pass);
            // What is in hand and not called yet is all that the fulfiller takes, or the room is gone.
            let change = tokio::time::timeout(LOOK_AGAIN, self.places.change());
            let _ = self.throttled_by(Throttle::Fulfiller, change).await;
        }
    }

    /// Waits until fulfiller and backends have capacity at the same time: for how many orders more in hand, and for how
    /// many calls.
    async fn capacity(&self) -> (usize, usize) {
        loop {
            let calls = self.throttled_by(Throttle::Fulfiller, self.fulfiller.capacity()).await;
            if let Some(backends) = self.backpressure.capacity().now_or_never() {
                return (backends, calls);
            }
            self.throttled_by(Throttle::SlowBackend, self.backpressure.capacity()).await;
        }
    }

    /// Waits for `future`, and reports for how long it holds claims back.
    async fn throttled_by<F: Future>(&self, by: Throttle, future: F) -> F::Output {
        let mut future = pin!(future);
        if let Some(output) = future.as_mut().now_or_never() {
            return output;
        }
        loop {
            let since = Instant::now();
            let output = tokio::time::timeout(REPORT_EVERY, &mut future).await;
            self.observers.emit(OrderEvent::ClaimsThrottled { reason: by, took: since.elapsed() });
            if let Ok(output) = output {
                return output;
            }
        }
    }
}
