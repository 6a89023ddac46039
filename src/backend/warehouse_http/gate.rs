//! Runs the circuit breaker: shared by all calls, with a clock, and reporting its changes.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::breaker::{Breaker, Capacity, Change, Permit, Refused};
use crate::event::{BreakerState, Dependency, DependencyEvent, FulfillerEvent, Observers};

/// The breaker refuses calls, after one that failed.
pub(super) struct BreakerOpen {
    /// Until the next probe.
    pub(super) wait: Duration,
    /// Whether the one that failed was a probe.
    pub(super) of_a_probe: bool,
}

/// Lets calls through while the breaker does.
pub(super) struct Gate {
    breaker: Mutex<Breaker>,
    /// Moves with the breaker and wakes the tasks that wait for capacity.
    changes: watch::Sender<()>,
    observers: Observers,
}

impl Gate {
    pub(super) fn new(observers: Observers) -> Self {
        Self { breaker: Mutex::new(Breaker::new(Instant::now())), changes: watch::Sender::new(()), observers }
    }

    /// Asks to make one call now.
    pub(super) fn enter(&self) -> Result<Pass<'_>, Refused> {
        let mut breaker = self.breaker.lock();
        let permit = breaker.admit(Instant::now())?;
        if permit.probe {
            self.observers.emit(FulfillerEvent::BreakerMoved(BreakerState::HalfOpen));
        }
        Ok(Pass { gate: self, permit: Some(permit) })
    }

    /// Waits until the breaker would let a call through. Returns how many it would.
    pub(super) async fn capacity(&self) -> usize {
        let mut changes = self.changes.subscribe();
        loop {
            let capacity = {
                let mut breaker = self.breaker.lock();
                let now = Instant::now();
                let change = breaker.rest(now);
                self.report(&breaker, change);
                breaker.capacity(now)
            };
            match capacity {
                Capacity::Free => return usize::MAX,
                Capacity::Probe => return 1,
                // Over early, when a probe succeeds. The sender lives as long as `self`.
                Capacity::None(wait) => drop(tokio::time::timeout(wait, changes.changed()).await),
            }
        }
    }

    /// Emits a change. The caller holds the breaker meanwhile, which keeps events in the order of the changes.
    fn report(&self, breaker: &Breaker, change: Option<Change>) {
        match change {
            Some(Change::Opened { retry_in }) => {
                let error = breaker.reason().unwrap_or_default();
                self.observers.emit(FulfillerEvent::BreakerMoved(BreakerState::Open));
                let dependency = Dependency::Fulfiller;
                self.observers.emit(DependencyEvent::Down { dependency, error, retry_in });
            }
            Some(Change::Closed) => {
                self.observers.emit(FulfillerEvent::BreakerMoved(BreakerState::Closed));
                self.observers.emit(DependencyEvent::Up(Dependency::Fulfiller));
            }
            None => return,
        }
        self.changes.send_replace(());
    }
}

/// One call that the breaker let through. Dropped without a result, it counts as abandoned.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    permit: Option<Permit>,
}

impl Pass<'_> {
    /// The warehouse works.
    pub(super) fn succeed(mut self) {
        self.end(|breaker, now, permit| breaker.succeed(now, permit));
    }

    /// The warehouse fails. `None` if calls are let through all the same.
    pub(super) fn fail(mut self, reason: &str, retry_after: Option<Duration>) -> Option<BreakerOpen> {
        let of_a_probe = self.permit.as_ref()?.probe;
        let wait = match self.end(|breaker, now, permit| breaker.fail(now, permit, reason, retry_after))? {
            Capacity::Free => return None,
            Capacity::Probe => Duration::ZERO,
            Capacity::None(wait) => wait,
        };
        Some(BreakerOpen { wait, of_a_probe })
    }

    /// Hands the permit back, once. Returns what the breaker allows now.
    fn end(&mut self, end: impl FnOnce(&mut Breaker, Instant, Permit) -> Option<Change>) -> Option<Capacity> {
        let permit = self.permit.take()?;
        let mut breaker = self.gate.breaker.lock();
        let now = Instant::now();
        let change = end(&mut breaker, now, permit);
        self.gate.report(&breaker, change);
        Some(breaker.capacity(now))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.end(|breaker, now, permit| breaker.abandon(now, permit));
    }
}
