//! Admits claims: a batch slot, a permit for each order, and spare capacity in queue, store and fulfiller.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backpressure::Backpressure;
use super::options::{BATCH, BATCHES_AT_ONCE};
use crate::event::{Observers, OrderEvent, Throttle};
use crate::port::fulfiller::Fulfiller;

/// How often a throttle is reported while it lasts.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Allows one claim of as many messages as `permits` holds.
pub(crate) struct Admission {
    /// To be dropped when the batch is begun.
    pub(crate) slot: OwnedSemaphorePermit,
    /// To be split among the messages.
    pub(crate) permits: OwnedSemaphorePermit,
}

/// Decides when the next claim may be made, and of how many messages.
pub(crate) struct AdmissionControl {
    pub(crate) fulfiller: Arc<dyn Fulfiller>,
    pub(crate) backpressure: Arc<Backpressure>,
    pub(crate) observers: Observers,
    permits: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

impl AdmissionControl {
    /// `permits` has one for each order that may be in flight.
    pub(crate) fn new(
        fulfiller: Arc<dyn Fulfiller>,
        backpressure: Arc<Backpressure>,
        observers: Observers,
        permits: Arc<Semaphore>,
    ) -> Self {
        Self { fulfiller, backpressure, observers, permits, slots: Arc::new(Semaphore::new(BATCHES_AT_ONCE)) }
    }

    /// Waits for a free batch slot, one permit, and spare capacity in queue, store and fulfiller. Takes as many permits
    /// as all of them allow. Cancel-safe.
    pub(crate) async fn admit(&self) -> Admission {
        let slot = self.throttled_by(Throttle::Begin, acquire(&self.slots)).await;
        let mut permits = self.throttled_by(Throttle::Concurrency, acquire(&self.permits)).await;
        let capacity = self.capacity().await;
        let more = self.permits.available_permits().min(BATCH - 1).min(capacity.saturating_sub(1));
        if let Ok(more) = Arc::clone(&self.permits).try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
            permits.merge(more);
        }
        Admission { slot, permits }
    }

    /// Waits until fulfiller and backends have capacity at the same time, and returns the smaller one.
    async fn capacity(&self) -> usize {
        loop {
            let fulfiller = self.throttled_by(Throttle::Fulfiller, self.fulfiller.capacity()).await;
            if let Some(backends) = self.backpressure.capacity().now_or_never() {
                return fulfiller.min(backends);
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

/// One permit. Nothing closes these semaphores; a closed one would admit nothing more.
async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(semaphore).acquire_owned().await {
        Ok(permit) => permit,
        Err(_) => pending().await,
    }
}
