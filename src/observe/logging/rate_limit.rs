//! A limit on lines of one kind: a storm of failures must not become a storm of writes that slows the work down.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Admits so many lines in a window of time and counts the rest.
#[derive(Debug)]
pub(super) struct RateLimit {
    lines: u32,
    per: Duration,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    admitted: u32,
    held_back: u64,
}

impl RateLimit {
    /// At most `lines` in any window of length `per`, the first of which starts with the first line.
    pub(super) fn new(lines: u32, per: Duration) -> Self {
        Self { lines, per, window: Mutex::default() }
    }

    /// Whether a line may be written at `now`.
    pub(super) fn admit(&self, now: Instant) -> bool {
        let mut window = self.window.lock();
        if window.is_over(now, self.per) {
            window.since = Some(now);
            window.admitted = 0;
        }
        if window.admitted < self.lines {
            window.admitted += 1;
            return true;
        }
        window.held_back += 1;
        false
    }

    /// Returns how many lines were held back, once per window, after its end.
    pub(super) fn held_back(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock();
        if window.held_back == 0 || !window.is_over(now, self.per) {
            return None;
        }
        Some(std::mem::take(&mut window.held_back))
    }
}

impl Window {
    fn is_over(&self, now: Instant, per: Duration) -> bool {
        self.since.is_none_or(|since| now.saturating_duration_since(since) >= per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn as_many_lines_as_allowed_pass_and_the_rest_are_counted() {
        let limit = RateLimit::new(2, SECOND);
        let now = Instant::now();
        assert_eq!([limit.admit(now), limit.admit(now), limit.admit(now)], [true, true, false]);
        assert_eq!(limit.held_back(now), None, "the window is not over");
        assert_eq!(limit.held_back(now + SECOND), Some(1));
        assert_eq!(limit.held_back(now + SECOND), None, "reported once");
    }

    #[test]
    fn a_new_window_admits_lines_again() {
        let limit = RateLimit::new(1, SECOND);
        let now = Instant::now();
        assert!(limit.admit(now));
        assert!(!limit.admit(now + SECOND / 2));
        assert!(limit.admit(now + SECOND));
    }
}
