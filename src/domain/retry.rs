//! When to try again: exponential backoff with full jitter, a cap, and a limit of attempts.
//!
//! Full jitter because it spreads a crowd of retries best (M. Brooker, "Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015).

use std::time::Duration;

use rand::RngExt;

/// What becomes of an order when nobody knows whether its call was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenAmbiguous {
    /// Call again with the same key, which a fulfiller that honours keys makes one effect. At least once.
    #[default]
    Retry,
    /// Dead-letter the order for a person to look at: no order is called for again unless it is certain that nothing
    /// was done. At most once.
    Park,
}

/// How failed attempts of an order are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, at least 1. The failure of the last one is final.
    pub max_attempts: u32,
    /// Upper bound of the first delay.
    pub base: Duration,
    /// Upper bound of any delay.
    pub cap: Duration,
    /// What becomes of ambiguous calls.
    pub when_ambiguous: WhenAmbiguous,
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt` (from 1) failed, or `None` if it was the last one.
    pub fn after(&self, attempt: u32) -> Option<Duration> {
        (attempt < self.max_attempts).then(|| jittered(self.ceiling(attempt)))
    }

    /// The longest delay after attempt number `attempt`: `base` doubled with each attempt, at most `cap`.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }
}

/// How calls to a dependency that is down are repeated: for ever, as its orders have nowhere else to go.
pub const DEPENDENCY: RetryPolicy = RetryPolicy {
    max_attempts: u32::MAX,
    base: Duration::from_millis(100),
    cap: Duration::from_secs(2),
    when_ambiguous: WhenAmbiguous::Retry,
};

/// How long to pause before calling a dependency again that failed `failures` times in a row, by [`DEPENDENCY`] and
/// cut to what is left of `limit` (`None`: for ever). `None` when nothing is left.
pub fn dependency_pause(failures: u32, waited: Duration, limit: Option<Duration>) -> Option<Duration> {
    let pause = jittered(DEPENDENCY.ceiling(failures));
    match limit.map(|limit| limit.saturating_sub(waited)) {
        Some(Duration::ZERO) => None,
        Some(left) => Some(pause.min(left)),
        None => Some(pause),
    }
}

/// Anything from nothing to `ceiling`, each equally likely.
pub fn jittered(ceiling: Duration) -> Duration {
    ceiling.mul_f64(rand::rng().random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests;
