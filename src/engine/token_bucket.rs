//! Limits claims to a rate. A claim takes as many messages as there are tokens and queue: `governor` decides about numbers that
//! are known before, and takes nothing back.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// What is kept for a moment without claims: a tenth of a second's, at least one.
const BURST: f64 = 0.1;

/// Tokens that come at a steady rate. Without a clock: the caller gives the time.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// With one token. `per_second` is above zero.
    pub(crate) fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, tokens: 1.0, at: now }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.per_second
    }

    /// How many messages may be claimed, or how long to wait for one.
    pub(crate) fn available(&mut self, now: Instant) -> Result<NonZeroUsize, Duration> {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        let most = (self.per_second * BURST).max(1.0);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(most);
        let lacking = || Duration::try_from_secs_f64((1.0 - self.tokens) / self.per_second).unwrap_or(Duration::MAX);
        NonZeroUsize::new(self.tokens as usize).ok_or_else(lacking)
    }

    /// So many were claimed.
    pub(crate) fn take(&mut self, messages: usize) {
        self.tokens -= messages as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_claimed_than_the_rate_and_a_tenth_of_a_second_more() {
        let began = Instant::now();
        let mut bucket = TokenBucket::new(100.0, began);
        let mut claimed = 0;
        for millisecond in 0..10_000 {
            if let Ok(messages) = bucket.available(began + Duration::from_millis(millisecond)) {
                bucket.take(messages.get());
                claimed += messages.get();
            }
        }
        assert!((990..=1_010).contains(&claimed), "{claimed}");
    }

    #[test]
    fn a_rate_below_one_a_second_lets_one_through_after_its_time() {
        let began = Instant::now();
        let mut bucket = TokenBucket::new(0.1, began);
        let available = bucket.available(began).unwrap().get();
        bucket.take(available);
        let wait = bucket.available(began).unwrap_err();
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
        assert!(bucket.available(began + Duration::from_secs(11)).is_ok());
    }

    #[test]
    fn what_was_not_claimed_stays_and_a_pause_saves_up_a_tenth_of_a_second_alone() {
        let began = Instant::now();
        let mut bucket = TokenBucket::new(50.0, began);
        assert_eq!(bucket.available(began + Duration::from_secs(3_600)).unwrap().get(), 5);
        bucket.take(2);
        assert_eq!(bucket.available(began + Duration::from_secs(3_600)).unwrap().get(), 3);
    }
}
