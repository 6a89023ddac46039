//! What pages show live, gathered once for all who look on, and not at all where nobody does.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::observe::health::{Health, Readiness};
use crate::observe::latest::{Known, Latest};
use crate::operations::trends::{self, Day};
use crate::port::controls::{Controls, Worker};
use crate::port::store::StoreError;
use crate::port::trends::Trends;

/// How often everything is looked at while somebody looks on.
const EVERY: Duration = Duration::from_secs(2);

/// How long it goes on after the last one has left: most come back.
const LINGER: Duration = Duration::from_secs(30);

/// How long a page waits for what is gathered, before it shows what there is.
const PATIENCE: Duration = Duration::from_millis(700);

/// How long the store may take, for a sample to have its answer.
const STORE_PATIENCE: Duration = Duration::from_millis(500);

/// Minutes that are shown.
const DAY: u32 = 24 * 60;

/// Minutes that are read again each time, and each of the times in between.
const LATELY: u32 = 3;

/// A worker that was cut off from the store writes what it counted up to four hours ago.
const CUT_OFF: u32 = 245;

/// In so many samples, minutes of so long ago are read again once.
const REREAD: u64 = 150;

/// The roles of the store.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) trends: Arc<dyn Trends>,
    pub(crate) controls: Arc<dyn Controls>,
}

/// What was so at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    /// One more with each.
    pub(super) number: u64,
    pub(super) at: Instant,
    pub(super) readiness: Readiness,
    pub(super) known: Known,
    /// The last day; `None` before the store has answered.
    pub(super) day: Option<Arc<Day>>,
    /// The identity of this worker.
    pub(super) worker: Arc<str>,
    /// As the registry had them when the store last answered.
    pub(super) workers: Arc<Vec<Worker>>,
}

/// What the store said.
struct Read {
    day: Day,
    workers: Vec<Worker>,
}

/// Gathers samples while somebody looks on.
pub(super) struct Sampler {
    health: Arc<Health>,
    latest: Arc<Latest>,
    worker: Arc<str>,
    stores: OnceLock<Stores>,
    /// The worker's threads: those that serve pages have other things to do.
    threads: Handle,
    samples: watch::Sender<Option<Arc<Sample>>>,
    is_running: Mutex<bool>,
    /// Ends it with the worker.
    stop: CancellationToken,
}

impl Sampler {
    /// One that looks at these, on the threads of the runtime that this is called in.
    pub(super) fn new(health: Arc<Health>, latest: Arc<Latest>, worker: &str, stop: CancellationToken) -> Arc<Self> {
        let (samples, _) = watch::channel(None);
        let (stores, is_running) = (OnceLock::new(), Mutex::default());
        Arc::new(Self {
            health,
            latest,
            worker: worker.into(),
            stores,
            threads: Handle::current(),
            samples,
            is_running,
            stop,
        })
    }

    /// Reads the store from now on.
    pub(super) fn open(&self, stores: Stores) {
        // A second time changes nothing.
        let _ = self.stores.set(stores);
    }

    /// Every sample from now on.
    pub(super) fn follow(self: &Arc<Self>) -> watch::Receiver<Option<Arc<Sample>>> {
        // Before the look whether anybody looks on, which is under the same lock.
        let mut is_running = self.is_running.lock();
        let following = self.samples.subscribe();
        if !*is_running {
            *is_running = true;
            self.threads.spawn(Arc::clone(self).run());
        }
        following
    }

    /// A sample of the last few seconds; an older one, or none, where everything is very slow.
    pub(super) async fn sample(self: &Arc<Self>) -> Option<Arc<Sample>> {
        let mut following = self.follow();
        let is_fresh =
            |sample: &Option<Arc<Sample>>| sample.as_ref().is_some_and(|sample| sample.at.elapsed() < 2 * EVERY);
        // What it was waiting for may also never come.
        let _ = timeout(PATIENCE, following.wait_for(is_fresh)).await;
        let sample = following.borrow();
        sample.clone()
    }

    async fn run(self: Arc<Self>) {
        let mut reading: Option<JoinHandle<Result<Read, StoreError>>> = None;
        let (mut day, mut workers) = (None, Arc::new(Vec::new()));
        let (mut number, mut watched_at) = (0_u64, Instant::now());
        loop {
            if let Some(stores) = self.stores.get() {
                let read = reading.get_or_insert_with(|| tokio::spawn(read(stores.clone(), day.clone(), number)));
                if let Ok(done) = timeout(STORE_PATIENCE, read).await {
                    reading = None;
                    if let Ok(Ok(read)) = done {
                        (day, workers) = (Some(Arc::new(read.day)), Arc::new(read.workers));
                    }
                }
            }
            number += 1;
            let sample = Sample {
                number,
                at: Instant::now(),
                readiness: self.health.ready(),
                known: self.latest.known(),
                day: day.clone(),
                worker: Arc::clone(&self.worker),
                workers: Arc::clone(&workers),
            };
            self.samples.send_replace(Some(Arc::new(sample)));
            if self.stop.run_until_cancelled(sleep(EVERY)).await.is_none() {
                return;
            }
            if self.samples.receiver_count() > 0 {
                watched_at = Instant::now();
            } else if watched_at.elapsed() >= LINGER {
                let mut is_running = self.is_running.lock();
                if self.samples.receiver_count() == 0 {
                    *is_running = false;
                    // The next one who looks is not shown what is long past.
                    self.samples.send_replace(None);
                    return;
                }
            }
        }
    }
}

async fn read(stores: Stores, day: Option<Arc<Day>>, number: u64) -> Result<Read, StoreError> {
    let trends = &*stores.trends;
    let day = match day {
        None => trends::read(trends, DAY).await?,
        Some(day) => {
            let mut day = Arc::unwrap_or_clone(day);
            trends::refresh(trends, &mut day, minutes_again(number)).await?;
            day
        }
    };
    Ok(Read { day, workers: stores.controls.workers().await? })
}

/// How many minutes the sample of this number reads again.
fn minutes_again(number: u64) -> u32 {
    if number.is_multiple_of(REREAD) { CUT_OFF } else { LATELY }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught, when seeded: a day of which only the last minutes are read again.
    #[test]
    fn what_a_worker_writes_late_is_read_within_5_minutes_and_most_samples_read_little() {
        let within = 300 / EVERY.as_secs();
        for first in 1..=within {
            let samples = first..first + within;
            assert_eq!(samples.filter(|number| minutes_again(*number) > 240).count(), 1, "from sample {first} on");
        }
    }
}
