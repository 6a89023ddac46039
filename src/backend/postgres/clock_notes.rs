//! What this worker has noted of the clocks behind the fences that it writes, so that not every statement notes it again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Well within the day after which a note has to be made again.
const AGAIN_AFTER: Duration = Duration::from_secs(3_600);

#[derive(Default)]
pub(super) struct ClockNotes(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    zone: Option<Instant>,
    behind: Option<Instant>,
}

impl ClockNotes {
    /// Whether the next fences have to be written along with a note of their zone.
    pub(super) fn is_due(&self) -> bool {
        is_old(self.0.lock().unwrap_or_else(PoisonError::into_inner).zone)
    }

    /// Fences were written along with a note, which says so if some came back behind the clock.
    pub(super) fn made(&self, behind: bool) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.zone = Some(Instant::now());
        if behind {
            noted.behind = noted.zone;
        }
    }

    /// Whether a fence that came back behind the clock, without such a note, has to be noted.
    pub(super) fn lacks_behind(&self) -> bool {
        is_old(self.0.lock().unwrap_or_else(PoisonError::into_inner).behind)
    }
}

fn is_old(noted: Option<Instant>) -> bool {
    noted.is_none_or(|at| at.elapsed() >= AGAIN_AFTER)
}
