//! Deletes the timelines of orders that ended longer ago than `--keep-events`.
//!
//! One worker at a time, elected in the store, goes through all timelines in order of their orders, a page at a time. Each page
//! is whole in itself and may be repeated: where the worker is lives in its memory alone, and a worker that dies costs nothing
//! but the pages that its successor reads again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::domain::order::OrderId;
use crate::event::{Observers, RetentionEvent};
use crate::port::retention::{Retention, TimelinePage};
use crate::port::store::StoreError;

/// Entries looked at in one statement.
const PAGE: usize = 2_000;

/// The pause after a page, as a multiple of its duration: the store is busy with this for a fifth of the time at most.
const REST: u32 = 4;
const SHORTEST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// A round begins as often as this share of what is kept.
const ROUNDS: u32 = 100;
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// The lead lasts for this many pauses.
const TERM: u32 = 3;

/// Orders are numbered in about the order in which they end: after so many pages in a row that have nothing of before the cutoff,
/// a round is over,
const YOUNG_PAGES: u32 = 20;

/// unless none has gone to the end for so long. This finds what ended out of order.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Deletes old timelines until told to stop.
pub struct TimelineRetention {
    store: Arc<dyn Retention>,
    observers: Observers,
    keep: Duration,
    leads: bool,
    /// When a round last went to the end.
    swept_at: Option<Instant>,
    /// When one last did what it was to do; at first, when this was made.
    done_at: Instant,
}

impl TimelineRetention {
    /// Puts the parts together; nothing happens before [`TimelineRetention::run`].
    pub fn new(store: Arc<dyn Retention>, observers: Observers, keep: Duration) -> Self {
        Self { store, observers, keep, leads: false, swept_at: None, done_at: Instant::now() }
    }

    /// Works until `drain` is cancelled, and then leaves the lead to others.
    pub async fn run(mut self, drain: CancellationToken) {
        loop {
            // May be dropped half way: each call is whole in itself.
            let pause = match drain.run_until_cancelled(self.round()).await {
                Some(Ok(())) => self.pause(),
                Some(Err(error)) => {
                    self.observers.emit(RetentionEvent::RoundFailed { behind: self.done_at.elapsed() });
                    tracing::warn!(%error, "timelines older than --keep-events could not be deleted; the next round does it");
                    SHORTEST_PAUSE
                }
                None => break,
            };
            if drain.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        if self.leads
            && let Err(error) = self.store.resign_retention().await
        {
            tracing::debug!(%error, "the lead could not be given up; it ends by itself");
        }
    }

    fn pause(&self) -> Duration {
        (self.keep / ROUNDS).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    async fn lead(&mut self) -> Result<bool, StoreError> {
        self.leads = self.store.lead_retention(self.pause() * TERM).await?;
        if !self.leads {
            self.done_at = Instant::now();
            self.observers.emit(RetentionEvent::Follows);
        }
        Ok(self.leads)
    }

    /// From the lowest order on.
    async fn round(&mut self) -> Result<(), StoreError> {
        if !self.lead().await? {
            return Ok(());
        }
        let cutoff = self.store.move_cutoff(self.keep).await?;
        let (mut renewed_at, began) = (Instant::now(), Instant::now());
        let sweeps = self.swept_at.is_none_or(|at| at.elapsed() >= SWEEP_EVERY);
        let (mut after, mut young_pages, mut entries) = (OrderId(0), 0, 0);
        loop {
            if renewed_at.elapsed() > self.pause() {
                if !self.lead().await? {
                    return Ok(());
                }
                renewed_at = Instant::now();
            }
            let asked = Instant::now();
            let page = self.store.delete_timelines(&TimelinePage { after, limit: PAGE, cutoff: cutoff.at }).await?;
            entries += page.deleted;
            self.observers.emit(RetentionEvent::Deleted { entries: page.deleted });
            young_pages = if page.any_ended { 0 } else { young_pages + 1 };
            match page.next {
                Some(next) if sweeps || young_pages < YOUNG_PAGES => after = next,
                Some(_) => break,
                None => {
                    self.swept_at = Some(began);
                    break;
                }
            }
            tokio::time::sleep(rest(asked.elapsed())).await;
        }
        self.done_at = Instant::now();
        self.observers.emit(RetentionEvent::RoundDone { entries, behind: cutoff.behind });
        Ok(())
    }
}

fn rest(took: Duration) -> Duration {
    took.saturating_mul(REST).clamp(SHORTEST_REST, LONGEST_REST)
}
