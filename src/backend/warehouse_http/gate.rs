//! The circuit breaker at work: shared by all calls, with a clock, and telling who watches.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::breaker::{Admission, Breaker, Change, Refused, Room};
use crate::event::{BreakerState, Dependency, DependencyEvent, FulfillerEvent, Observers};

/// Calls are refused from now on, as one has failed.
pub(super) struct Refusal {
    /// For how long.
    pub(super) wait: Duration,
    /// Whether the one that failed was a probe.
    pub(super) of_a_probe: bool,
}

/// Lets calls through while the breaker does.
pub(super) struct Gate {
    breaker: Mutex<Breaker>,
    /// Moves with the breaker, for those who wait for room.
    changes: watch::Sender<()>,
    observers: Observers,
}

impl Gate {
    pub(super) fn new(observers: Observers) -> Self {
        Self { breaker: Mutex::new(Breaker::new(Instant::now())), changes: watch::Sender::new(()), observers }
    }

    /// Leave to make one call now.
    pub(super) fn enter(&self) -> Result<Pass<'_>, Refused> {
        let mut breaker = self.breaker();
        let admission = breaker.admit(Instant::now())?;
        if admission.is_probe() {
            self.observers.emit(FulfillerEvent::BreakerMoved(BreakerState::HalfOpen));
        }
        Ok(Pass { gate: self, admission: Some(admission) })
    }

    /// Waits until a call would be let through, and says how many would.
    pub(super) async fn room(&self) -> usize {
        let mut changes = self.changes.subscribe();
        loop {
            let room = {
                let mut breaker = self.breaker();
                let now = Instant::now();
                let change = breaker.rest(now);
                self.tell(&breaker, change);
                breaker.room(now)
            };
            match room {
                Room::Free => return usize::MAX,
                Room::Probe => return 1,
                // Over early, when a probe succeeds. The sender lives as long as `self`.
                Room::None(wait) => drop(tokio::time::timeout(wait, changes.changed()).await),
            }
        }
    }

    /// Takes note of a change and tells it, in the order in which changes happen: so the breaker is held meanwhile.
    fn tell(&self, breaker: &Breaker, change: Option<Change>) {
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

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call that was let through. Dropped without a result, it was broken off.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    admission: Option<Admission>,
}

impl Pass<'_> {
    /// The warehouse works.
    pub(super) fn succeed(mut self) {
        if let Some(admission) = self.admission.take() {
            let mut breaker = self.gate.breaker();
            let change = breaker.succeed(Instant::now(), admission);
            self.gate.tell(&breaker, change);
        }
    }

    /// The warehouse fails. `None` if calls are let through all the same.
    pub(super) fn fail(mut self, reason: &str, retry_after: Option<Duration>) -> Option<Refusal> {
        let admission = self.admission.take()?;
        let of_a_probe = admission.is_probe();
        let now = Instant::now();
        let mut breaker = self.gate.breaker();
        let change = breaker.fail(now, admission, reason, retry_after);
        self.gate.tell(&breaker, change);
        let wait = match breaker.room(now) {
            Room::Free => return None,
            Room::Probe => Duration::ZERO,
            Room::None(wait) => wait,
        };
        Some(Refusal { wait, of_a_probe })
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            let mut breaker = self.gate.breaker();
            let change = breaker.abandon(Instant::now(), admission);
            self.gate.tell(&breaker, change);
        }
    }
}
