//! At a drain, puts what this worker gives back on the producers' list, where other consumers find it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::port::queue::{Disposition, Settlement};
use crate::port::queue_maintenance::{HandBack, LiveLeases};

/// Remembers which messages this worker has put back since the drain began: as many as were in flight then, at most.
pub(crate) struct DrainToList {
    queue: Arc<dyn HandBack>,
    drain: CancellationToken,
    put_back: Mutex<Vec<String>>,
}

impl DrainToList {
    pub(crate) fn new(queue: Arc<dyn HandBack>, drain: CancellationToken) -> Self {
        Self { queue, drain, put_back: Mutex::default() }
    }

    /// Notes settlements that are done.
    pub(crate) fn note(&self, settlements: &[Settlement]) {
        if self.drain.is_cancelled() {
            let put_back = settlements.iter().filter(|settlement| settlement.disposition != Disposition::Ack);
            self.put_back.lock().extend(put_back.map(|settlement| settlement.receipt.claim_id.clone()));
        }
    }

    /// Makes them new again, all at once, as only then their order is known. What another worker has claimed meanwhile is
    /// its own. What can't be handed back by `limit` waits for its retry, as without this.
    pub(crate) async fn finish(&self, limit: Instant) {
        let claim_ids = std::mem::take(&mut *self.put_back.lock());
        if claim_ids.is_empty() {
            return;
        }
        let count = claim_ids.len();
        match tokio::time::timeout_at(limit, self.queue.hand_back(&claim_ids, LiveLeases::Leave)).await {
            Ok(Ok(done)) => tracing::info!(messages = done.returned, "put messages back on the list"),
            Ok(Err(error)) => {
                tracing::warn!(%error, messages = count, "messages are not back on the list; `hand-back` puts them there");
            }
            Err(_) => {
                tracing::warn!(
                    messages = count,
                    "no time to put messages back on the list; `hand-back` puts them there"
                );
            }
        }
    }
}
