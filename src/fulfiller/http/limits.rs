//! How many calls a warehouse gets at once and in a second.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Instant;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use crate::event::{Event, Limiter, Observers};

/// The share of a second's calls that may go at once: as coarse as timers are at high rates.
const BURSTS_PER_SECOND: u32 = 20;

/// Each limit may be absent.
pub(super) struct Limits {
    concurrency: Option<Semaphore>,
    rate: Option<Rate>,
    observers: Observers,
}

struct Rate {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    /// Held by the one who is next, so that calls go in the order in which they came.
    turn: Mutex<()>,
}

/// Room among the calls under way, until dropped.
pub(super) struct Place<'a>(#[expect(dead_code, reason = "held, never read")] Option<SemaphorePermit<'a>>);

impl Limits {
    pub(super) fn new(concurrency: Option<NonZeroUsize>, rate: Option<NonZeroU32>, observers: Observers) -> Self {
        let concurrency = concurrency.map(|most| Semaphore::new(most.get().min(Semaphore::MAX_PERMITS)));
        let rate = rate.map(|rate| {
            let at_once = NonZeroU32::new(rate.get() / BURSTS_PER_SECOND).unwrap_or(NonZeroU32::MIN);
            let limiter = RateLimiter::direct(Quota::per_second(rate).allow_burst(at_once));
            Rate { limiter, clock: DefaultClock::default(), turn: Mutex::new(()) }
        });
        Self { concurrency, rate, observers }
    }

    /// Waits for room among the calls under way; `None` if there was none until then.
    pub(super) async fn place(&self, until: Instant) -> Option<Place<'_>> {
        let Some(places) = &self.concurrency else { return Some(Place(None)) };
        if let Ok(place) = places.try_acquire() {
            return Some(Place(Some(place)));
        }
        let began = Instant::now();
        let place = tokio::time::timeout_at(until.into(), places.acquire()).await;
        self.observers.emit(Event::LimiterWaited { limiter: Limiter::Concurrency, took: began.elapsed() });
        Some(Place(Some(place.ok()?.ok()?)))
    }

    /// Waits until the rate allows one more request; `false` if it did not until then.
    pub(super) async fn turn(&self, until: Instant) -> bool {
        let Some(rate) = &self.rate else { return true };
        if rate.turn.try_lock().is_ok_and(|_turn| rate.limiter.check().is_ok()) {
            return true;
        }
        let began = Instant::now();
        let allowed = tokio::time::timeout_at(until.into(), rate.next()).await.is_ok();
        self.observers.emit(Event::LimiterWaited { limiter: Limiter::Rate, took: began.elapsed() });
        allowed
    }
}

impl Rate {
    async fn next(&self) {
        let _turn = self.turn.lock().await;
        while let Err(not_until) = self.limiter.check() {
            tokio::time::sleep(not_until.wait_time_from(self.clock.now())).await;
        }
    }
}
