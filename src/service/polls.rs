//! Polls queue and store in the background, so that a scrape need not. Each poll runs on its own: a server that does
//! not answer delays no other poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::event::{Dependency, DependencyEvent, Observers, TelemetryEvent};
use crate::port::reports::Reports;
use crate::port::store::StoreError;
use crate::service::backends::Opened;

/// How often queue and store are polled.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// The shortest pause between two counts of open orders, and of dead letters.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// The pause after a count, as a multiple of its duration: counting takes a fiftieth of the store's time.
const COUNT_PAUSE: u32 = 49;

/// The longest pause, so that the last count is seldom much older than a minute. A count of more than 1.2 s therefore
/// takes more than a fiftieth of the time, and one at its limit of 5 s a thirteenth.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Polls until aborted. `leases` is the store that leases are renewed through.
pub(super) async fn poll(opened: Opened, leases: Arc<dyn Reports>, observers: Observers) {
    let polls = Polls { opened, leases, observers, store_is_up: AtomicBool::new(true) };
    tokio::join!(polls.queue(), polls.store(), polls.open_orders(), polls.open_dead_letters(), polls.connections());
}

struct Polls {
    opened: Opened,
    leases: Arc<dyn Reports>,
    observers: Observers,
    /// Whether the store answered the last poll.
    store_is_up: AtomicBool,
}

impl Polls {
    async fn queue(&self) {
        loop {
            let under_way = self.observers.under_way(Dependency::Queue);
            let answer = self.opened.queue.reports.depth().await;
            drop(under_way);
            match answer {
                Ok(depth) => {
                    self.observers.emit(DependencyEvent::Up(Dependency::Queue));
                    self.observers.emit(TelemetryEvent::DepthRead(depth));
                }
                Err(error) => self.down(Dependency::Queue, &error),
            }
            sleep(POLL_EVERY).await;
        }
    }

    async fn store(&self) {
        loop {
            let under_way = self.observers.under_way(Dependency::Store);
            let answer = self.opened.store.schema.check().await;
            drop(under_way);
            self.store_is_up.store(answer.is_ok(), Ordering::Relaxed);
            match answer {
                Ok(()) => self.observers.emit(DependencyEvent::Up(Dependency::Store)),
                Err(error) => self.down(Dependency::Store, &error),
            }
            sleep(POLL_EVERY).await;
        }
    }

    async fn open_orders(&self) {
        let count = || async {
            let open = self.opened.store.reports.open_orders().await?;
            Ok((TelemetryEvent::OpenOrdersRead(open), open.took))
        };
        self.count("open orders", count).await;
    }

    async fn open_dead_letters(&self) {
        let count = || async {
            let open = self.opened.store.reports.open_dead_letters().await?;
            Ok((TelemetryEvent::OpenDeadLettersRead(open), open.took))
        };
        self.count("dead letters", count).await;
    }

    /// Not observed as a call under way: the duration of a count shows how many rows it read, and not how the store
    /// is. A count that fails is no outage either, as the other poll reports those: the last count and its time stay.
    async fn count<F>(&self, what: &str, count: impl Fn() -> F)
    where
        F: Future<Output = Result<(TelemetryEvent<'static>, Duration), StoreError>>,
    {
        let mut failures = 0;
        loop {
            if !self.store_is_up.load(Ordering::Relaxed) {
                failures = 0;
                sleep(POLL_EVERY).await;
                continue;
            }
            let pause = match count().await {
                Ok((event, took)) => {
                    failures = 0;
                    self.observers.emit(event);
                    pause_after_count(took)
                }
                Err(error) => {
                    failures = u32::saturating_add(failures, 1);
                    if failures == 1 {
                        tracing::warn!(%error, "{what} can't be counted: their metrics stay as they were last read");
                    }
                    pause_after_failures(failures)
                }
            };
            sleep(pause).await;
        }
    }

    async fn connections(&self) {
        loop {
            let mut connections = self.opened.store.reports.connections();
            if !Arc::ptr_eq(&self.opened.store.reports, &self.leases) {
                connections = connections + self.leases.connections();
            }
            self.observers.emit(TelemetryEvent::ConnectionsRead(connections));
            sleep(POLL_EVERY).await;
        }
    }

    fn down(&self, dependency: Dependency, error: &dyn std::error::Error) {
        self.observers.emit(DependencyEvent::Down { dependency, error: &error.to_string(), retry_in: POLL_EVERY });
    }
}

fn pause_after_count(took: Duration) -> Duration {
    took.saturating_mul(COUNT_PAUSE).clamp(COUNT_EVERY, LONGEST_PAUSE)
}

/// A count that fails while the store answers was most likely broken off at its limit, and each one costs the store
/// seconds.
fn pause_after_failures(in_a_row: u32) -> Duration {
    let doublings = in_a_row.saturating_sub(1);
    2_u32.checked_pow(doublings).map_or(LONGEST_PAUSE, |times| COUNT_EVERY.saturating_mul(times).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Caught, when seeded: a pause without a cap.
    #[test]
    fn a_count_takes_a_fiftieth_of_the_time_until_the_pause_would_be_longer_than_a_minute() {
        assert_eq!(pause_after_count(SECOND / 1_000), COUNT_EVERY);
        assert_eq!(pause_after_count(SECOND), 49 * SECOND);
        assert_eq!(pause_after_count(5 * SECOND), 60 * SECOND);
        assert_eq!(pause_after_count(Duration::MAX), 60 * SECOND);
    }

    #[test]
    fn a_count_that_fails_is_repeated_soon_and_then_once_a_minute() {
        let pauses = [1, 2, 3, 4, 5, 6, 33, u32::MAX].map(|failures| pause_after_failures(failures).as_secs());
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60, 60]);
    }
}
