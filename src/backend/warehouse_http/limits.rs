//! Limits on calls to a warehouse: at once, and in a second.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};
use tokio::time::error::Elapsed;

use crate::event::{FulfillerEvent, Limiter, Observers};

/// The share of a second's calls that may go at once: as coarse as timers are at high rates.
const BURSTS_PER_SECOND: u32 = 20;

/// The longest queue for the rate, as time: long enough that it never runs dry between two claims.
const LONGEST_QUEUE: Duration = Duration::from_secs(1);

/// `None` where there is no limit.
pub(super) struct Limits {
    concurrency: Option<Semaphore>,
    rate: Option<Rate>,
    observers: Observers,
}

struct Rate {
    limiter: DefaultDirectRateLimiter,
    /// Held by the request that is next, so that requests go in the order in which they came.
    next: Mutex<()>,
    /// How many requests wait.
    waiting: watch::Sender<usize>,
    /// How many requests may wait before there is no capacity for more.
    most_waiting: usize,
}

/// A request that waits for the rate, until dropped.
struct InLine<'a>(&'a watch::Sender<usize>);

impl Limits {
    /// `patience` is how long a call waits for concurrency and rate before it is given up.
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

    /// Waits for capacity for another call. Returns for how many: free permits, and as many requests as the rate allows
    /// before a call loses patience. Takes none of it. Cancel-safe.
    pub(super) async fn capacity(&self) -> usize {
        loop {
            if let Some(rate) = &self.rate {
                rate.has_capacity().await;
            }
            let permits = match &self.concurrency {
                Some(permits) => free(permits).await,
                None => usize::MAX,
            };
            // Others may have queued up since.
            match self.rate.as_ref().map_or(usize::MAX, Rate::capacity) {
                0 => {}
                requests => return permits.min(requests),
            }
        }
    }

    /// Waits until fewer calls than the limit are under way. The permit is `None` where there is no limit.
    ///
    /// # Errors
    /// When there was no permit until `until`.
    pub(super) async fn acquire_concurrency(&self, until: Instant) -> Result<Option<SemaphorePermit<'_>>, Elapsed> {
        let Some(permits) = &self.concurrency else { return Ok(None) };
        if let Ok(permit) = permits.try_acquire() {
            return Ok(Some(permit));
        }
        let began = Instant::now();
        let permit = tokio::time::timeout_at(until.into(), permits.acquire()).await;
        self.observers.emit(FulfillerEvent::LimiterWaited { limiter: Limiter::Concurrency, took: began.elapsed() });
        // Never closed.
        permit.map(Result::ok)
    }

    /// Waits until the rate allows one more request; `false` if that takes longer than `until`.
    pub(super) async fn acquire_rate(&self, until: Instant) -> bool {
        let Some(rate) = &self.rate else { return true };
        if rate.next.try_lock().is_ok_and(|_next| rate.limiter.check().is_ok()) {
            return true;
        }
        let began = Instant::now();
        let allowed = tokio::time::timeout_at(until.into(), rate.acquire()).await.is_ok();
        self.observers.emit(FulfillerEvent::LimiterWaited { limiter: Limiter::Rate, took: began.elapsed() });
        allowed
    }
}

/// Waits for a free permit behind everything that waits already. Returns how many there are.
async fn free(permits: &Semaphore) -> usize {
    // Never closed. Given back at once: only the wait matters.
    let _permit = permits.acquire().await.ok();
    permits.available_permits().saturating_add(1)
}

impl Rate {
    fn new(rate: NonZeroU32, patience: Duration) -> Self {
        let at_once = NonZeroU32::new(rate.get() / BURSTS_PER_SECOND).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::direct(Quota::per_second(rate).allow_burst(at_once));
        // A quarter of the time, as capacity may be given out twice before the first calls come.
        let queue = LONGEST_QUEUE.min(patience / 4);
        let most_waiting = (f64::from(rate.get()) * queue.as_secs_f64()).max(1.0) as usize;
        let waiting = watch::Sender::new(0);
        Self { limiter, next: Mutex::new(()), waiting, most_waiting }
    }

    /// How many more may queue up.
    fn capacity(&self) -> usize {
        self.most_waiting.saturating_sub(*self.waiting.borrow())
    }

    async fn has_capacity(&self) {
        // Fails only without a sender, and that lives as long as `self`.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting < self.most_waiting).await;
    }

    /// Waits until the rate allows a request.
    async fn acquire(&self) {
        let _waiting = InLine::begin(&self.waiting);
        let _next = self.next.lock().await;
        while let Err(not_until) = self.limiter.check() {
            tokio::time::sleep(not_until.wait_time_from(self.limiter.clock().now())).await;
        }
    }
}

impl<'a> InLine<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}
