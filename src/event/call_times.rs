//! How long calls take: those under way, and those that are over. Has no clock: it is told what time it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The calls to one place. `K` tells them apart, a later one by a greater key. Memory: one entry a call under way.
#[derive(Debug)]
pub(crate) struct CallTimes<K> {
    window: Duration,
    under_way: BTreeMap<K, Instant>,
    /// When the last one was over, and how long it had taken.
    last: Option<(Instant, Duration)>,
    /// The slowest that was over since then, and in the window before.
    since: Instant,
    slowest: Option<Duration>,
    slowest_before: Option<Duration>,
}

impl<K: Ord + Copy> CallTimes<K> {
    /// `window` is how long a call is remembered: for once to twice as long.
    pub(crate) fn new(window: Duration, now: Instant) -> Self {
        Self { window, under_way: BTreeMap::new(), last: None, since: now, slowest: None, slowest_before: None }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, call: K, now: Instant) {
        self.under_way.insert(call, now);
    }

    /// A call is over, however it ended: one that failed has kept its caller waiting, too.
    pub(crate) fn end(&mut self, call: K, now: Instant) {
        let Some(began) = self.under_way.remove(&call) else { return };
        let took = now.saturating_duration_since(began);
        self.turn(now);
        self.last = Some((now, took));
        self.slowest = self.slowest.max(Some(took));
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> usize {
        self.under_way.len()
    }

    /// For how long the oldest one has been under way.
    pub(crate) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.under_way.first_key_value().map(|(_, began)| now.saturating_duration_since(*began))
    }

    /// How long the last one took that was over within the window.
    pub(crate) fn last(&self, now: Instant) -> Option<Duration> {
        self.last.filter(|(at, _)| now.saturating_duration_since(*at) < self.window).map(|(_, took)| took)
    }

    /// How long the slowest one took that was over within the window.
    pub(crate) fn slowest(&mut self, now: Instant) -> Option<Duration> {
        self.turn(now);
        self.slowest.max(self.slowest_before)
    }

    fn turn(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= self.window {
            self.slowest_before = self.slowest.take().filter(|_| elapsed < 2 * self.window);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    fn at(millis: u64, start: Instant) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn millis(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn the_oldest_call_is_the_one_that_began_first_and_is_not_over() {
        let start = Instant::now();
        let mut times = CallTimes::new(WINDOW, start);
        times.begin(1, at(0, start));
        times.begin(2, at(100, start));
        assert_eq!((times.count(), times.oldest(at(300, start))), (2, millis(300)));
        times.end(1, at(300, start));
        assert_eq!((times.count(), times.oldest(at(300, start))), (1, millis(200)));
        times.end(2, at(300, start));
        assert_eq!((times.count(), times.oldest(at(300, start))), (0, None));
    }

    #[test]
    fn a_slow_call_is_remembered_for_its_window_and_forgotten_within_two() {
        let start = Instant::now();
        let mut times = CallTimes::new(WINDOW, start);
        times.begin(1, start);
        times.end(1, at(900, start));
        times.begin(2, at(1_000, start));
        times.end(2, at(1_010, start));
        assert_eq!(times.last(at(1_010, start)), millis(10));
        assert_eq!(times.slowest(at(4_900, start)), millis(900));
        assert_eq!(times.slowest(at(5_800, start)), millis(900));
        assert_eq!(times.slowest(at(11_000, start)), None);
    }

    #[test]
    fn what_was_last_is_forgotten_when_nothing_is_called_any_more() {
        let start = Instant::now();
        let mut times = CallTimes::new(WINDOW, start);
        times.begin(1, start);
        times.end(1, at(900, start));
        assert_eq!(times.last(at(5_800, start)), millis(900));
        assert_eq!(times.last(at(5_900, start)), None);
    }

    #[test]
    fn what_did_not_begin_can_not_end() {
        let start = Instant::now();
        let mut times = CallTimes::new(WINDOW, start);
        times.end(7, at(900, start));
        assert_eq!(times.slowest(at(900, start)), None);
    }
}
