//! How many orders may be in hand, and where each of them stands.
//!
//! An order takes a place for a call before its claim, and gives it back when its call ends. From then on it waits for
//! queue and store among the finished ones, which have a bound of their own; while that is full, an ended call keeps its
//! place. So slow calls are bounded by `--concurrency`, and commits form batches whatever it is.
//!
//! Claims go ahead of the places as far as these come back anyway: as many orders are claimed whose calls have not ended
//! as calls ended in the last 50 ms, if that is more than there are places, but at most a batch more. Nothing is claimed
//! ahead of calls that take longer than that.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::options::BATCH;
use crate::event::{Observers, OrderEvent};
use crate::testing::has_failpoint_at;
use crate::testing::mutant::is_mutant;

/// The most orders that wait for queue and store after their calls have ended: enough for both batches under way to be
/// followed by full ones.
const FINISHED: usize = 4 * BATCH;

/// Shared by whoever claims, calls and drains.
pub(crate) struct Places {
    /// How many calls there may be at once.
    concurrency: usize,
    /// How many an operator allows, at most `concurrency`.
    limit: AtomicUsize,
    observers: Observers,
    held: Mutex<Held>,
    /// Calls take turns for these, first come, first served.
    turns: Arc<Semaphore>,
    /// Tells whoever claims; one task at a time.
    changed: Notify,
    emptied: Notify,
}

/// Orders, by where they stand.
struct Held {
    /// From before their claim until their call has ended, or longer while [`FINISHED`] others are.
    taken: usize,
    /// Of those, what is claimed.
    claimed: usize,
    /// Of those, what has not been called yet, or not even been claimed.
    uncalled: usize,
    /// Ended, and without a place for a call.
    finished: usize,
    ended: RecentCalls,
}

impl Places {
    pub(crate) fn new(concurrency: usize, observers: Observers) -> Arc<Self> {
        let ended = RecentCalls::new(Instant::now());
        let held = Held { taken: 0, claimed: 0, uncalled: 0, finished: 0, ended };
        let turns = Arc::new(Semaphore::new(concurrency.min(Semaphore::MAX_PERMITS)));
        let (held, changed, emptied) = (Mutex::new(held), Notify::new(), Notify::new());
        let limit = AtomicUsize::new(concurrency);
        Arc::new(Self { concurrency, limit, observers, held, turns, changed, emptied })
    }

    /// The most orders that can be in hand.
    pub(crate) const fn most_in_hand(concurrency: usize) -> usize {
        concurrency + BATCH + FINISHED
    }

    /// How many calls there may be at once, as is in force.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Follows what an operator allows, until dropped. Withholds the turns of calls that are not allowed: those under way end
    /// first.
    pub(crate) async fn follow(self: Arc<Self>, mut allowed: watch::Receiver<Option<NonZeroUsize>>) {
        let mut withheld: Option<OwnedSemaphorePermit> = None;
        loop {
            let limit = allowed.borrow_and_update().map_or(self.concurrency, NonZeroUsize::get).min(self.concurrency);
            self.limit.store(limit, Ordering::Relaxed);
            self.changed.notify_one();
            let (wanted, held) = (self.concurrency - limit, withheld.as_ref().map_or(0, |turns| turns.num_permits()));
            if wanted < held {
                drop(withheld.as_mut().and_then(|turns| turns.split(held - wanted)));
            } else if wanted > held {
                let more = u32::try_from(wanted - held).unwrap_or(u32::MAX);
                tokio::select! {
                    more = Arc::clone(&self.turns).acquire_many_owned(more) => match (more, &mut withheld) {
                        (Ok(more), Some(turns)) => turns.merge(more),
                        (Ok(more), None) => withheld = Some(more),
                        (Err(_), _) => return,
                    },
                    changed = allowed.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                }
            }
            if allowed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until another order may be claimed. Cancel-safe; for one task at a time, as [`Places::change`] is.
    pub(crate) async fn room(&self) {
        while self.held().room(self.limit(), Instant::now()) == 0 {
            self.changed.notified().await;
        }
    }

    /// Waits until something has changed. Cancel-safe.
    pub(crate) async fn change(&self) {
        self.changed.notified().await;
    }

    /// Takes places for `at_most` orders, of which the fulfiller takes so many `calls`, those included that it has not
    /// been called for yet. `None` if there is no room.
    pub(crate) fn reserve(self: &Arc<Self>, at_most: usize, calls: usize) -> Option<Reserved> {
        let mut held = self.held();
        let room = held.room(self.limit(), Instant::now());
        let count = room.min(at_most).min(calls.saturating_sub(held.uncalled));
        held.taken += count;
        held.uncalled += count;
        (count > 0).then(|| Reserved { places: Arc::clone(self), count })
    }

    /// Waits until nothing is in hand.
    pub(crate) async fn emptied(&self) {
        loop {
            // Before looking, so that no change in between is missed.
            let emptied = self.emptied.notified();
            if self.held().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }

    /// Changes what is held, and tells everybody whom it concerns: while the lock is held, so that observers see the
    /// changes in order.
    fn update(&self, change: impl FnOnce(&mut Held)) {
        let mut held = self.held();
        let before = self.shown(&held);
        change(&mut held);
        let after = self.shown(&held);
        if before != after {
            self.observers.emit(OrderEvent::CallPlacesTaken(after));
        }
        if held.is_empty() {
            self.emptied.notify_waiters();
        }
        drop(held);
        self.changed.notify_one();
    }

    /// What waits beyond the places is not in one.
    fn shown(&self, held: &Held) -> usize {
        held.claimed.min(self.concurrency)
    }
}

impl Held {
    fn room(&mut self, concurrency: usize, now: Instant) -> usize {
        if is_mutant!(ClaimsWithoutPlace) || has_failpoint_at!(Turn) {
            return BATCH;
        }
        let ahead = self.ended.count(now).min(concurrency + BATCH);
        concurrency.max(ahead).saturating_sub(self.taken)
    }

    fn is_empty(&self) -> bool {
        self.taken == 0 && self.finished == 0
    }
}

/// Places for orders that are about to be claimed; given back when dropped.
pub(crate) struct Reserved {
    places: Arc<Places>,
    count: usize,
}

impl Reserved {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// A place for each order that was claimed, as far as they reach. The rest is given back.
    pub(crate) fn claimed(mut self, orders: usize) -> Vec<Place> {
        let claimed = orders.min(self.count);
        self.count -= claimed;
        self.places.update(|held| held.claimed += claimed);
        let place = || Place { places: Arc::clone(&self.places), stage: Stage::Uncalled };
        std::iter::repeat_with(place).take(claimed).collect()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.places.update(|held| {
            held.taken -= self.count;
            held.uncalled -= self.count;
        });
    }
}

/// Where one claimed order stands, until dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    stage: Stage,
}

enum Stage {
    Uncalled,
    Calling(OwnedSemaphorePermit),
    /// Ended, when enough others had. The turn of its call, if there was one, is its own until the end.
    Kept {
        _turn: Option<OwnedSemaphorePermit>,
    },
    Finished,
}

impl Place {
    /// Whether the next turn is another order's.
    pub(crate) fn must_wait(&self) -> bool {
        self.places.turns.available_permits() == 0
    }

    /// Whether it has its turn, and its call has not ended.
    pub(crate) fn has_turn(&self) -> bool {
        matches!(self.stage, Stage::Calling(_))
    }

    /// Whether the call has ended and keeps its place.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.stage, Stage::Kept { .. })
    }

    /// Waits until the order may be called for, in turn. Cancel-safe.
    pub(crate) async fn turn(&mut self) {
        let turn = acquire(&self.places.turns).await;
        self.places.update(|held| held.uncalled -= 1);
        self.stage = Stage::Calling(turn);
    }

    /// The call has ended, or the attempt has without one: the next order may come, if not too many are finished.
    pub(crate) fn end(&mut self) {
        let called = match self.stage {
            Stage::Uncalled => false,
            Stage::Calling(_) => true,
            Stage::Kept { .. } | Stage::Finished => return,
        };
        let turn = match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Calling(turn) => Some(turn),
            Stage::Uncalled | Stage::Kept { .. } | Stage::Finished => None,
        };
        let mut kept = false;
        self.places.update(|held| {
            if called {
                held.ended.add(Instant::now());
            } else {
                held.uncalled -= 1;
            }
            kept = held.finished >= most_finished();
            if !kept {
                held.taken -= 1;
                held.claimed -= 1;
                held.finished += 1;
            }
        });
        if kept {
            self.stage = Stage::Kept { _turn: turn };
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.update(|held| match self.stage {
            Stage::Finished => held.finished -= 1,
            Stage::Uncalled | Stage::Calling(_) | Stage::Kept { .. } => {
                held.uncalled -= usize::from(matches!(self.stage, Stage::Uncalled));
                held.taken -= 1;
                held.claimed -= 1;
            }
        });
    }
}

/// See [`FINISHED`].
fn most_finished() -> usize {
    if is_mutant!(FinishedWithoutBound) {
        usize::MAX
    } else if has_failpoint_at!(Keep) {
        0
    } else {
        FINISHED
    }
}

/// One permit. Nothing closes these semaphores; a closed one would admit nothing more.
pub(crate) async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(semaphore).acquire_owned().await {
        Ok(permit) => permit,
        Err(_) => pending().await,
    }
}

/// How many slots of time [`RecentCalls`] looks back, the present one included, and how long each of them is.
const SLOTS: u64 = 10;
const SLOT: Duration = Duration::from_millis(5);

/// Counts the calls that ended in the last 50 ms, or up to 5 ms less. Without a clock: the caller gives the time.
struct RecentCalls {
    origin: Instant,
    /// The newest slot that was looked at, and how many calls ended in it and in those before.
    newest: u64,
    slots: [usize; SLOTS as usize],
}

impl RecentCalls {
    fn new(now: Instant) -> Self {
        Self { origin: now, newest: 0, slots: [0; SLOTS as usize] }
    }

    fn add(&mut self, now: Instant) {
        self.move_to(now);
        self.slots[(self.newest % SLOTS) as usize] += 1;
    }

    fn count(&mut self, now: Instant) -> usize {
        self.move_to(now);
        self.slots.iter().sum()
    }

    /// Forgets what is too old by then.
    fn move_to(&mut self, now: Instant) {
        let slot = (now.saturating_duration_since(self.origin).as_micros() / SLOT.as_micros()) as u64;
        for passed in self.newest + 1..=slot.min(self.newest + SLOTS) {
            self.slots[(passed % SLOTS) as usize] = 0;
        }
        self.newest = self.newest.max(slot);
    }
}

#[cfg(test)]
mod tests;
