//! Looks through orders for those that are open, a piece at a time, where the store has no index that leads to them.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::event::{Observers, ReconcilerEvent};
use crate::port::reconciliation::{Reconciliation, Sweep};

/// The shortest pause between two sweeps of what was swept before.
const PAUSE: Duration = Duration::from_secs(2);

/// The pause after one, as a multiple of its duration: it takes a fiftieth of one server process' time.
const PAUSE_TIMES: u32 = 49;

/// The same while a sweep makes others' reading cheaper.
const PAUSE_TIMES_BEHIND: u32 = 9;

/// The pause where there is nothing to sweep, or the store didn't answer.
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// When the next sweep is due. Knows nothing that is lost with it.
#[derive(Debug)]
pub(super) struct Sweeper {
    due: Instant,
}

impl Sweeper {
    pub(super) fn new() -> Self {
        Self { due: Instant::now() }
    }

    /// Sweeps, whenever that is due, until `rest` is over. Cancel-safe.
    pub(super) async fn sweep_for(&mut self, rest: Duration, store: &dyn Reconciliation, observers: &Observers) {
        let end = Instant::now() + rest;
        while self.due < end {
            sleep(self.due.saturating_duration_since(Instant::now())).await;
            let began = Instant::now();
            let pause = match store.sweep().await {
                Ok(Some(sweep)) => {
                    observers.emit(ReconcilerEvent::Swept { found: sweep.found, is_through: sweep.is_through });
                    pause_after(sweep, began.elapsed())
                }
                Ok(None) => LONG_PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "open orders could not be looked for by their ids; the next sweep does it");
                    LONG_PAUSE
                }
            };
            self.due = Instant::now() + pause;
        }
        sleep(end.saturating_duration_since(Instant::now())).await;
    }
}

fn pause_after(sweep: Sweep, took: Duration) -> Duration {
    if sweep.goes_on { took.saturating_mul(PAUSE_TIMES_BEHIND) } else { took.saturating_mul(PAUSE_TIMES).max(PAUSE) }
        .min(LONG_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_a_fiftieth_of_the_time_and_a_tenth_as_long_as_it_makes_others_cheaper() {
        let (done, goes_on) = (Sweep::default(), Sweep { goes_on: true, ..Sweep::default() });
        let millis = Duration::from_millis;
        assert_eq!(pause_after(done, millis(8)), PAUSE);
        assert_eq!(pause_after(done, millis(100)), millis(4_900));
        assert_eq!(pause_after(goes_on, millis(8)), millis(72));
        assert_eq!([done, goes_on].map(|sweep| pause_after(sweep, Duration::MAX)), [LONG_PAUSE; 2]);
    }
}
