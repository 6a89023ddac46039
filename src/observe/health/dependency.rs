//! The health of one dependency: its last answer or error, and its response times.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Check;
use crate::event::call_times::CallTimes;
use crate::event::{CallId, Dependency};
use crate::observe::millis;

/// The longest error of a dependency that is shown, in characters.
pub(super) const MAX_ERROR: usize = 300;

/// Response times of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Number of calls under way.
    pub under_way: usize,
    /// Age of the oldest call under way, in milliseconds; 0 if there is none.
    pub oldest_ms: u64,
    /// Duration of the slowest recent call, in milliseconds; `None` if there was none. Recent: within the last third of
    /// a lease, or up to twice as long.
    pub slowest_ms: Option<u64>,
    /// A call of at least this many milliseconds makes the dependency slow.
    pub slow_from_ms: u64,
}

#[derive(Debug)]
pub(super) struct DependencyHealth {
    contact: Contact,
    pub(super) times: CallTimes<CallId>,
    slow: Slow,
}

/// The last news of a dependency.
#[derive(Debug)]
enum Contact {
    Unknown,
    Up,
    Down { since: Instant, error: String },
}

/// The threshold of a slow call, and its consequence.
#[derive(Debug, Clone, Copy)]
struct Slow {
    from: Duration,
    /// True if the worker is not ready while the dependency is slow.
    matters: bool,
    why: &'static str,
}

impl DependencyHealth {
    pub(super) fn new(dependency: Dependency, lease: Duration, call_timeout: Duration, now: Instant) -> Self {
        let slow = match dependency {
            Dependency::Queue | Dependency::Store => {
                Slow { from: lease / 3, matters: true, why: "too slow to keep leases" }
            }
            Dependency::Fulfiller => Slow { from: call_timeout / 2, matters: false, why: "slow" },
        };
        Self { contact: Contact::Unknown, times: CallTimes::new(lease / 3, now), slow }
    }

    pub(super) fn up(&mut self) {
        self.contact = Contact::Up;
    }

    pub(super) fn down(&mut self, error: &str, now: Instant) {
        let since = match self.contact {
            Contact::Down { since, .. } => since,
            Contact::Unknown | Contact::Up => now,
        };
        self.contact = Contact::Down { since, error: error.chars().take(MAX_ERROR).collect() };
    }

    pub(super) fn check(&mut self, name: &'static str, now: Instant) -> Check {
        let calls = Calls {
            under_way: self.times.count(),
            oldest_ms: millis(self.times.oldest(now).unwrap_or_default()),
            slowest_ms: self.times.slowest(now).map(millis),
            slow_from_ms: millis(self.slow.from),
        };
        let (ok, detail, public) = match &self.contact {
            Contact::Unknown => (false, "has not answered yet".to_owned(), None),
            Contact::Up => {
                let (ok, detail) = self.slow.judge(&calls);
                (ok, detail, None)
            }
            Contact::Down { since, error } => {
                let down = format!("down for {} s", now.saturating_duration_since(*since).as_secs());
                (false, format!("{down}: {error}"), Some(down))
            }
        };
        Check { calls: Some(calls), public, ..Check::new(name, ok, detail) }
    }
}

impl Slow {
    fn judge(&self, calls: &Calls) -> (bool, String) {
        let Self { matters, why, .. } = self;
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        let limit = seconds(calls.slow_from_ms);
        if calls.oldest_ms >= calls.slow_from_ms {
            let age = seconds(calls.oldest_ms);
            return (!matters, format!("{why}: a call has had no answer for {age:.1} s, slow from {limit:.1} s"));
        }
        match calls.slowest_ms {
            // Queue and store are polled; nobody calls a fulfiller without an order.
            None if *matters => (true, "answers".to_owned()),
            None => (true, "not called lately".to_owned()),
            Some(took) if took >= calls.slow_from_ms => {
                let took = seconds(took);
                (!matters, format!("{why}: took {took:.1} s to answer, slow from {limit:.1} s"))
            }
            Some(took) => (true, format!("answers within {took} ms")),
        }
    }
}
