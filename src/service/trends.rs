//! Writes the history of this worker to the store, beside the engine.
//!
//! The current minute's row is written every few seconds, each time as a whole, and once more when the minute has ended: by the
//! store's clock, which every answer tells. While the store doesn't answer, minutes go on by this machine's timer, are kept,
//! and are written when it does: an outage has its minutes. One worker at a time deletes what is old.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::pages::Pages;
use crate::event::{Observers, TrendsEvent};
use crate::observe::trends::TrendCounter;
use crate::port::store::StoreError;
use crate::port::trends::{KEEP_TRENDS, MinuteRow, PRUNED_AT_ONCE, Recorded, Trends};

mod pages;

/// The pause between two writes of the current minute: what a worker that is killed may lose.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// A write that takes longer is given up and repeated. It may still be carried out, and then takes nothing back.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);

/// The pause between two counts of arrivals.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// The pause between two rounds of deleting; the lead lasts for three.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const LEAD_TERM: Duration = Duration::from_secs(180);

/// The pause between two deletions of a round.
const PRUNE_REST: Duration = Duration::from_millis(500);

/// Writes, counts arrivals and deletes until `stop` is cancelled; then writes what is left.
pub(super) fn start(
    store: Arc<dyn Trends>,
    counter: Arc<TrendCounter>,
    observers: Observers,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let (pages, turn_at) = (Pages::new(counter), Instant::now() + MINUTE);
    let recorder = Recorder { store: store.clone(), observers, pages, turn_at, failures: 0 };
    tokio::spawn(async move {
        tokio::join!(recorder.run(&stop), count_arrivals(&*store, &stop), prune(&*store, &stop));
    })
}

struct Recorder {
    store: Arc<dyn Trends>,
    observers: Observers,
    pages: Pages,
    /// When the current minute ends, as far as is known.
    turn_at: Instant,
    /// Writes in a row that failed.
    failures: u32,
}

impl Recorder {
    async fn run(mut self, stop: &CancellationToken) {
        loop {
            self.write(stop).await;
            let next = (Instant::now() + WRITE_EVERY).min(self.turn_at);
            if stop.run_until_cancelled(sleep_until(next)).await.is_none() {
                break;
            }
            self.turn_if_due();
        }
        // Bounded by whoever waits for this task, too.
        let rows = self.pages.rows();
        let answer = timeout(WRITE_LIMIT, self.store.record(&rows)).await;
        self.note(answer.unwrap_or_else(|_| Err(gave_up())), &rows);
    }

    /// Writes what isn't written, and turns the page meanwhile if its minute ends. May be dropped half way: a row that was
    /// written is written again.
    async fn write(&mut self, stop: &CancellationToken) {
        let (rows, store) = (self.pages.rows(), self.store.clone());
        let mut writing = pin!(timeout(WRITE_LIMIT, store.record(&rows)));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut writing => break answer,
                () = sleep_until(self.turn_at) => self.turn_if_due(),
                () = stop.cancelled() => return,
            }
        };
        self.note(answer.unwrap_or_else(|_| Err(gave_up())), &rows);
    }

    fn note(&mut self, answer: Result<Recorded, StoreError>, rows: &[MinuteRow]) {
        match answer {
            Ok(recorded) => {
                self.failures = 0;
                // Of a minute that has ended meanwhile, the rest is to be written, and the answer tells of the one before.
                if self.pages.written(rows) {
                    self.turn_at = Instant::now() + recorded.left;
                    if !recorded.is_current {
                        self.pages.turn(1);
                    }
                }
                self.observers.emit(TrendsEvent::Written { rows: rows.len() as u64 });
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let (failures, kept) = (self.failures, self.pages.kept());
                self.observers.emit(TrendsEvent::Unwritten { error: &error.to_string(), failures, kept });
            }
        }
    }

    /// Ends the current minute if its time has come, or as many as have gone by while this machine slept.
    fn turn_if_due(&mut self) {
        let Some(late) = Instant::now().checked_duration_since(self.turn_at) else { return };
        let minutes = late.as_secs() / MINUTE.as_secs() + 1;
        self.turn_at += Duration::from_secs(minutes * MINUTE.as_secs());
        self.pages.turn(minutes);
    }
}

fn gave_up() -> StoreError {
    StoreError::Unavailable(format!("no answer within {} s", WRITE_LIMIT.as_secs()))
}

async fn count_arrivals(store: &dyn Trends, stop: &CancellationToken) {
    loop {
        // May be dropped half way, and may fail: the next count, by whomever, counts what this one didn't.
        match stop.run_until_cancelled(store.count_arrivals()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::debug!(%error, "new orders could not be counted"),
            None => return,
        }
        if stop.run_until_cancelled(sleep(COUNT_EVERY)).await.is_none() {
            return;
        }
    }
}

async fn prune(store: &dyn Trends, stop: &CancellationToken) {
    let mut leads = false;
    while let Some(round) = stop.run_until_cancelled(prune_round(store)).await {
        match round {
            Ok(led) => leads = led,
            Err(error) => tracing::debug!(%error, "old history could not be deleted; the next round does it"),
        }
        if stop.run_until_cancelled(sleep(PRUNE_EVERY)).await.is_none() {
            break;
        }
    }
    if leads && let Err(error) = store.resign_trends().await {
        tracing::debug!(%error, "the lead could not be given up; it ends by itself");
    }
}

/// Whether this worker leads.
async fn prune_round(store: &dyn Trends) -> Result<bool, StoreError> {
    if !store.lead_trends(LEAD_TERM).await? {
        return Ok(false);
    }
    while store.prune(KEEP_TRENDS).await? >= PRUNED_AT_ONCE as u64 {
        sleep(PRUNE_REST).await;
    }
    Ok(true)
}
