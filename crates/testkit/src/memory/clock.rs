//! A clock that a test moves on.

use std::time::{Duration, Instant, SystemTime};

use super::micros;

/// In microseconds since 1970-01-01 00:00. Goes on by itself, whatever becomes of the host's clock.
pub(super) struct Clock {
    began: Instant,
    began_at: i64,
    ahead: Duration,
    last: i64,
}

impl Default for Clock {
    fn default() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_at: micros(since_1970), ahead: Duration::ZERO, last: 0 }
    }
}

impl Clock {
    /// Later than it has ever shown.
    pub(super) fn now(&mut self) -> i64 {
        let now = self.began_at.saturating_add(micros(self.began.elapsed().saturating_add(self.ahead)));
        self.last = now.max(self.last.saturating_add(1));
        self.last
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.ahead = self.ahead.saturating_add(by);
    }
}
