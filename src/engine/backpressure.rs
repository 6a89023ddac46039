//! How many orders may wait in our hands for queue and store: the slower these are, the fewer.
//!
//! What is with the fulfiller is at work and doesn't count; what is claimed and not begun, or finished and not settled,
//! does. It is measured in leases, as those are what a slow backend costs. An answer within a fifteenth of a lease is
//! as good as any: all that may be in hand may wait. Beyond that the number falls as the time rises, so that a worker
//! behind a slow link leaves orders to its neighbours: what there may be beside one order for each call is gone at twice
//! that time, and those are halved. From a third of a lease on, nothing that is claimed can be kept with certainty: one order at a time
//! is claimed then, to find out when it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use enum_map::EnumMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::event::call_times::CallTimes;
use crate::event::{CallId, Stage};

/// Answers within this share of a lease hold nothing back.
const FAST_ENOUGH: f64 = 1.0 / 15.0;

/// Answers that take this share of a lease are too slow to keep leases.
pub(crate) const TOO_SLOW: f64 = 1.0 / 3.0;

/// The calls that each order waits for.
const ON_THE_WAY: [Stage; 4] = [Stage::Claim, Stage::Begin, Stage::Conclude, Stage::Settle];

/// For how many leases the last answer of a stage speaks for the next one: a worker with nothing to do for that long
/// begins anew.
const REMEMBERED_LEASES: u32 = 4;

/// Nobody tells when a slow call of long ago is forgotten.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// See the module. Shared by whoever calls a backend and whoever claims.
pub(crate) struct Backpressure {
    concurrency: usize,
    most_in_hand: usize,
    lease: Duration,
    stages: EnumMap<Stage, Mutex<CallTimes<CallId>>>,
    waiting: AtomicUsize,
    changed: Notify,
}

/// An order that waits in our hands for a backend, until dropped.
pub(crate) struct Waiting(Arc<Backpressure>);

/// A call under way, until dropped.
pub(crate) struct Call<'a> {
    backpressure: &'a Backpressure,
    stage: Stage,
    id: CallId,
}

impl Backpressure {
    /// `most_in_hand` is how many may wait while all is well: one for each of `concurrency` calls, and more so that batches
    /// are full.
    pub(crate) fn new(concurrency: usize, most_in_hand: usize, lease: Duration) -> Self {
        let times = || Mutex::new(CallTimes::new(lease * REMEMBERED_LEASES, Instant::now()));
        let stages = EnumMap::from_fn(|_| times());
        Self { concurrency, most_in_hand, lease, stages, waiting: AtomicUsize::new(0), changed: Notify::new() }
    }

    /// A call to a backend begins.
    pub(crate) fn call(&self, stage: Stage) -> Call<'_> {
        let id = CallId::fresh();
        self.with_times(stage, |times| times.begin(id, Instant::now()));
        Call { backpressure: self, stage, id }
    }

    /// One order more waits.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(Arc::clone(self))
    }

    /// Waits until another order may wait, and says how many may. May be dropped at any time.
    pub(crate) async fn capacity(&self) -> usize {
        loop {
            // Before looking, so that no change in between is missed.
            let changed = self.changed.notified();
            let capacity = self.capacity_now();
            if capacity > 0 {
                return capacity;
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, changed).await;
        }
    }

    fn capacity_now(&self) -> usize {
        let most = most_waiting(self.concurrency, self.most_in_hand, self.lease, self.slowness(Instant::now()));
        most.saturating_sub(self.waiting.load(Ordering::Acquire))
    }

    /// How long an order has to wait for the slowest answer on its way, as far as is known.
    fn slowness(&self, now: Instant) -> Duration {
        let slowness = |(stage, times): (Stage, &Mutex<CallTimes<CallId>>)| {
            let times = times.lock();
            let last = if ON_THE_WAY.contains(&stage) { times.last(now) } else { None };
            times.oldest(now).max(last)
        };
        self.stages.iter().filter_map(slowness).max().unwrap_or_default()
    }

    fn with_times(&self, stage: Stage, change: impl Fn(&mut CallTimes<CallId>)) {
        change(&mut self.stages[stage].lock());
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.backpressure.with_times(self.stage, |times| times.end(self.id, Instant::now()));
        self.backpressure.changed.notify_waiters();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }
}

/// How many orders may wait for backends whose answers take so long; at least 1.
fn most_waiting(concurrency: usize, most_in_hand: usize, lease: Duration, slowness: Duration) -> usize {
    let share_of_lease = slowness.as_secs_f64() / lease.as_secs_f64();
    if share_of_lease >= TOO_SLOW {
        return 1;
    }
    let slower = (share_of_lease / FAST_ENOUGH).max(1.0);
    let beside_calls = most_in_hand.saturating_sub(concurrency) as f64 * (2.0 - slower).max(0.0);
    ((concurrency as f64 / slower + beside_calls) as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn most(millis: u64) -> usize {
        most_waiting(256, 2_756, LEASE, Duration::from_millis(millis))
    }

    #[test]
    fn answers_within_a_fifteenth_of_a_lease_hold_nothing_back() {
        assert_eq!((most(0), most(20), most(999)), (2_756, 2_756, 2_756));
    }

    #[test]
    fn the_slower_the_answers_the_fewer_may_wait() {
        assert_eq!((most(1_500), most(2_000), most(4_000)), (170 + 1_250, 128, 64));
    }

    #[test]
    fn from_a_third_of_a_lease_on_one_order_at_a_time_finds_out_whether_it_is_over() {
        assert_eq!((most(5_000), most(60_000)), (1, 1));
        assert_eq!(most_waiting(1, 1, LEASE, Duration::from_secs(2)), 1, "never none");
    }

    #[tokio::test]
    async fn capacity_comes_back_when_an_order_waits_no_more() {
        let backpressure = Arc::new(Backpressure::new(2, 2, LEASE));
        let (first, _second) = (backpressure.wait(), backpressure.wait());
        let waiting = Arc::clone(&backpressure);
        let capacity = tokio::spawn(async move { waiting.capacity().await });
        tokio::task::yield_now().await;
        assert!(!capacity.is_finished());
        drop(first);
        assert_eq!(capacity.await.unwrap(), 1);
    }

    #[test]
    fn a_call_under_way_counts_and_so_does_the_last_one_of_each_stage_on_the_way() {
        let backpressure = Backpressure::new(256, 256, LEASE);
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        let hanging = backpressure.call(Stage::RenewStore);
        assert!(backpressure.slowness(later(7)) >= Duration::from_secs(7));
        drop(hanging);
        assert_eq!(backpressure.slowness(later(7)), Duration::ZERO, "orders don't wait for renewals");
        backpressure.with_times(Stage::Begin, |times| {
            let id = CallId::fresh();
            times.begin(id, Instant::now());
            times.end(id, later(3));
        });
        drop(backpressure.call(Stage::Conclude));
        assert!(backpressure.slowness(later(4)) >= Duration::from_secs(3), "a fast stage hides no slow one");
    }
}
