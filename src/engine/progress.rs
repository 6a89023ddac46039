//! How the engine is getting on: how many orders are in flight, and whether its loops are alive.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::event::{LifecycleEvent, Loop, Observers, OrderEvent};

/// How often an idle loop shows that it is alive; once a lease, where that is shorter.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// Nothing can hold up the thread that renews leases. A worker that is wedged must not keep its orders for good, so the
/// thread lets go after this many leases in which the completer showed no sign of life.
const LEASES_WITHOUT_PROGRESS: u32 = 4;

/// Shared by all stages.
pub(crate) struct Progress {
    observers: Observers,
    lease: Duration,
    in_flight: Mutex<usize>,
    epoch: Instant,
    /// When the completer last showed that it is alive, in milliseconds since the epoch.
    completer_alive_ms: AtomicU64,
}

impl Progress {
    pub(crate) fn new(lease: Duration, observers: Observers) -> Self {
        let (in_flight, completer_alive_ms) = (Mutex::new(0), AtomicU64::new(0));
        Self { observers, lease, in_flight, epoch: Instant::now(), completer_alive_ms }
    }

    /// Orders claimed and not settled yet.
    pub(crate) fn in_flight(&self) -> usize {
        *self.in_flight.lock()
    }

    pub(crate) fn claimed(&self, orders: usize) {
        self.change_in_flight(|in_flight| in_flight + orders);
    }

    pub(crate) fn settled(&self, orders: usize) {
        self.change_in_flight(|in_flight| in_flight.saturating_sub(orders));
    }

    /// Emits the new number while the lock is held, so that observers see the changes in order.
    fn change_in_flight(&self, change: impl FnOnce(usize) -> usize) {
        let mut in_flight = self.in_flight.lock();
        *in_flight = change(*in_flight);
        self.observers.emit(OrderEvent::InFlight(*in_flight));
    }

    /// Waits for `future`, and shows meanwhile that the loop `name` is alive.
    pub(crate) async fn with_heartbeat<F: Future>(&self, name: Loop, future: F) -> F::Output {
        tokio::pin!(future);
        loop {
            self.observers.emit(LifecycleEvent::Heartbeat(name));
            if name == Loop::Completer {
                self.completer_alive_ms.store(self.now_ms(), Ordering::Relaxed);
            }
            if let Ok(output) = tokio::time::timeout(HEARTBEAT_EVERY.min(self.lease), &mut future).await {
                return output;
            }
        }
    }

    /// Whether nothing could be concluded for so long that other workers should take the orders over.
    pub(crate) fn is_wedged(&self) -> bool {
        let limit = u64::try_from((self.lease * LEASES_WITHOUT_PROGRESS).as_millis()).unwrap_or(u64::MAX);
        self.now_ms().saturating_sub(self.completer_alive_ms.load(Ordering::Relaxed)) > limit
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
