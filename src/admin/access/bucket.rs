//! A token bucket: so many at once, then one in each interval.

use std::time::{Duration, Instant};

/// Full at first.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    burst: f64,
    interval: Duration,
    tokens: f64,
    /// When `tokens` were counted.
    at: Option<Instant>,
}

impl Bucket {
    /// `burst` at once, then one in each `interval`, which is above zero.
    pub(super) fn new(burst: u32, interval: Duration) -> Self {
        Self { burst: burst.into(), interval, tokens: burst.into(), at: None }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The time until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if self.tokens < 1.0 {
            return Err(self.interval.mul_f64(1.0 - self.tokens));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Puts one back that was taken.
    pub(super) fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }

    /// Its tokens, of which it has at most `burst`.
    pub(super) fn tokens(&mut self, now: Instant) -> f64 {
        self.refill(now);
        self.tokens
    }

    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.tokens(now) >= self.burst
    }

    fn refill(&mut self, now: Instant) {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.tokens = (self.tokens + passed.as_secs_f64() / self.interval.as_secs_f64()).min(self.burst);
        self.at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_one_in_each_interval() {
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        let mut bucket = Bucket::new(2, second);
        assert_eq!([bucket.take(began), bucket.take(began)], [Ok(()), Ok(())]);
        assert_eq!(bucket.take(began), Err(second));
        assert_eq!(bucket.take(began + second / 2), Err(second / 2));
        assert_eq!(bucket.take(began + second), Ok(()));
        assert!(bucket.take(began + second).is_err());
        let later = began + 100 * second;
        assert!(bucket.is_full(later));
        assert_eq!([bucket.take(later), bucket.take(later)], [Ok(()), Ok(())]);
        assert!(bucket.take(later).is_err(), "no more than the burst is ever there");
    }
}
