//! What a claim needs before it is made: a place among the batches, a permit for each order, and that queue, store and
//! fulfiller can do with more.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::{BATCH, BATCHES_AT_ONCE, Context};
use crate::event::{OrderEvent, Throttle};

/// How often is told that claims are being held back.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Leave to claim as many messages as `permits` has, for one batch.
pub(crate) struct Admission {
    /// To be dropped when the batch is begun.
    pub(crate) slot: OwnedSemaphorePermit,
    /// To be split among the messages.
    pub(crate) permits: OwnedSemaphorePermit,
}

/// Gives leave to claim. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gatekeeper {
    context: Arc<Context>,
    permits: Arc<Semaphore>,
    begin_slots: Arc<Semaphore>,
}

impl Gatekeeper {
    /// `permits` are as many as orders may be in flight.
    pub(crate) fn new(context: Arc<Context>, permits: Arc<Semaphore>) -> Self {
        Self { context, permits, begin_slots: Arc::new(Semaphore::new(BATCHES_AT_ONCE)) }
    }

    /// Waits until a batch may be begun, at least one order may fly, and neither backends nor fulfiller have enough;
    /// takes as many permits as there are, and no more than these have room for. `None` never happens: nobody closes
    /// the semaphores. May be dropped at any time.
    pub(crate) async fn admit(&self) -> Option<Admission> {
        let slot = self.held_back(Throttle::Begin, Arc::clone(&self.begin_slots).acquire_owned()).await.ok()?;
        let one = self.held_back(Throttle::Concurrency, Arc::clone(&self.permits).acquire_owned()).await;
        let mut permits = one.ok()?;
        let room = self.room().await;
        let more = self.permits.available_permits().min(BATCH - 1).min(room.saturating_sub(1));
        if let Ok(more) = Arc::clone(&self.permits).try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
            permits.merge(more);
        }
        Some(Admission { slot, permits })
    }

    /// Waits until fulfiller and backends have room at the same time, and says for how many.
    async fn room(&self) -> usize {
        loop {
            let fulfiller = self.held_back(Throttle::Fulfiller, self.context.fulfiller.capacity()).await;
            if let Some(backends) = self.context.pressure.room().now_or_never() {
                return fulfiller.min(backends);
            }
            self.held_back(Throttle::SlowBackend, self.context.pressure.room()).await;
        }
    }

    /// Waits for `future`, telling for how long it holds claims back.
    async fn held_back<F: Future>(&self, reason: Throttle, future: F) -> F::Output {
        let mut future = pin!(future);
        if let Some(output) = future.as_mut().now_or_never() {
            return output;
        }
        loop {
            let since = Instant::now();
            let output = tokio::time::timeout(TELL_EVERY, &mut future).await;
            self.context.observers.emit(OrderEvent::ClaimsThrottled { reason, took: since.elapsed() });
            if let Ok(output) = output {
                return output;
            }
        }
    }
}
