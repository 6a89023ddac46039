//! How many calls a warehouse gets at once and in a second.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};

use crate::event::{FulfillerEvent, Limiter, Observers};

/// The share of a second's calls that may go at once: as coarse as timers are at high rates.
const BURSTS_PER_SECOND: u32 = 20;

/// How long the queue of those who wait for the rate may be, so that it never runs dry between two claims.
const LONGEST_QUEUE: Duration = Duration::from_secs(1);

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
    /// How many wait for their turn.
    waiting: watch::Sender<usize>,
    /// How many may wait before there is no room for more.
    most_waiting: usize,
}

/// One who waits for a turn, until dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

/// Room among the calls under way, until dropped.
pub(super) struct Place<'a>(#[expect(dead_code, reason = "held, never read")] Option<SemaphorePermit<'a>>);

impl Limits {
    /// `patience` is how long a call waits for place and turn before it is given up.
    pub(super) fn new(
        concurrency: Option<NonZeroUsize>,
        rate: Option<NonZeroU32>,
        patience: Duration,
        observers: Observers,
    ) -> Self {
        let concurrency = concurrency.map(|most| Semaphore::new(most.get().min(Semaphore::MAX_PERMITS)));
        let rate = rate.map(|rate| Rate::new(rate, patience));
        Self { concurrency, rate, observers }
    }

    /// Waits until there is room for another call, and says for how many: free places, and as many turns as come up
    /// before anybody loses patience. Takes none of it. May be dropped at any time.
    pub(super) async fn room(&self) -> usize {
        loop {
            if let Some(rate) = &self.rate {
                rate.has_room().await;
            }
            let places = match &self.concurrency {
                Some(places) => free(places).await,
                None => usize::MAX,
            };
            // Others may have queued up since.
            match self.rate.as_ref().map_or(usize::MAX, Rate::room) {
                0 => {}
                turns => return places.min(turns),
            }
        }
    }

    /// Waits for room among the calls under way; `None` if there was none until then.
    pub(super) async fn place(&self, until: Instant) -> Option<Place<'_>> {
        let Some(places) = &self.concurrency else { return Some(Place(None)) };
        if let Ok(place) = places.try_acquire() {
            return Some(Place(Some(place)));
        }
        let began = Instant::now();
        let place = tokio::time::timeout_at(until.into(), places.acquire()).await;
        self.observers.emit(FulfillerEvent::LimiterWaited { limiter: Limiter::Concurrency, took: began.elapsed() });
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
        self.observers.emit(FulfillerEvent::LimiterWaited { limiter: Limiter::Rate, took: began.elapsed() });
        allowed
    }
}

/// Waits for a free place behind all who wait for one already, and says how many there are.
async fn free(places: &Semaphore) -> usize {
    // Never closed. Given back at once: it is only the wait that matters.
    let _place = places.acquire().await.ok();
    places.available_permits().saturating_add(1)
}

impl Rate {
    fn new(rate: NonZeroU32, patience: Duration) -> Self {
        let at_once = NonZeroU32::new(rate.get() / BURSTS_PER_SECOND).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::direct(Quota::per_second(rate).allow_burst(at_once));
        // A quarter of the time, as room may be given out a second time before the first ones to get it come.
        let queue = LONGEST_QUEUE.min(patience / 4);
        let most_waiting = (f64::from(rate.get()) * queue.as_secs_f64()).max(1.0) as usize;
        let waiting = watch::Sender::new(0);
        Self { limiter, clock: DefaultClock::default(), turn: Mutex::new(()), waiting, most_waiting }
    }

    /// How many more may queue up.
    fn room(&self) -> usize {
        self.most_waiting.saturating_sub(*self.waiting.borrow())
    }

    async fn has_room(&self) {
        // Fails only without a sender, and that lives as long as `self`.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting < self.most_waiting).await;
    }

    /// Waits for the next turn.
    async fn next(&self) {
        let _waiting = Waiting::begin(&self.waiting);
        let _turn = self.turn.lock().await;
        while let Err(not_until) = self.limiter.check() {
            tokio::time::sleep(not_until.wait_time_from(self.clock.now())).await;
        }
    }
}

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}
