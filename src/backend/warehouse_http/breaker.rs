//! The circuit breaker: when calls keep failing, stop calling, and ask once in a while whether it is over.
//!
//! A state machine without a clock: the caller gives every step the time.

use std::time::{Duration, Instant};

/// How far back calls are counted, in seconds.
const WINDOW_SECONDS: usize = 10;
/// So few calls within the window say nothing about a share.
const FEWEST_CALLS: u64 = 20;
/// This many failures in a row open the breaker, however few calls there are.
const FAILURES_IN_A_ROW: u32 = 10;
/// From opening to the probe, and from one probe's failure to the next probe.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that an answer's `Retry-After` can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a probe has to be answered before another one goes out: it may be lost in a warehouse that is back by now.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a probe may be due without a call that could be it. Nobody knows then how the warehouse is.
const UNTRIED: Duration = Duration::from_secs(30);

/// Leave to make one call. To be handed back with the call's result, or [abandoned](Breaker::abandon).
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    /// Which time of being closed or open the call was admitted in.
    era: u64,
    /// Whether the call is the one that finds out whether it is over.
    pub probe: bool,
}

/// A call that must not be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When it is worth asking again.
    pub retry_in: Duration,
    /// Why the breaker is open: its last failure.
    pub reason: String,
}

/// How many calls may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// Any number: closed.
    Free,
    /// One, the probe.
    Probe,
    /// None for this long. While a probe is under way nobody knows, and it says when to look again.
    None(Duration),
}

/// What a call's result made of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It opened, or a probe failed and it stays open.
    Opened {
        /// Until the next probe.
        retry_in: Duration,
    },
    /// The probe succeeded.
    Closed,
}

/// Until when no call is let through, because a pause or a probe is under way, and why.
#[derive(Debug)]
struct Open {
    until: Instant,
    reason: String,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    calls: u64,
    failures: u64,
}

/// Closed → open → one probe → closed, or open again.
///
/// It opens when at least half of at least 20 calls of the last 10 s failed, or 10 in a row. One second later, or as
/// long after as the answer that opened it asked for (at most a minute), one call goes out as a probe; another one
/// follows two seconds later if that has not been answered.
#[derive(Debug)]
pub struct Breaker {
    /// `None` while closed.
    open: Option<Open>,
    era: u64,
    origin: Instant,
    window: [Second; WINDOW_SECONDS],
    failures_in_a_row: u32,
}

impl Breaker {
    /// Closed.
    pub fn new(now: Instant) -> Self {
        Self { open: None, era: 0, origin: now, window: [Second::default(); WINDOW_SECONDS], failures_in_a_row: 0 }
    }

    /// Why calls are being refused; `None` if they are not.
    pub fn reason(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.reason.as_str())
    }

    /// What may be begun now.
    pub fn capacity(&self, now: Instant) -> Capacity {
        match &self.open {
            None => Capacity::Free,
            Some(open) if open.until <= now => Capacity::Probe,
            Some(open) => Capacity::None(open.until - now),
        }
    }

    /// Asks for leave to make one call.
    ///
    /// # Errors
    /// While open: nothing may be sent.
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Refused> {
        let Some(Open { until, reason }) = &self.open else { return Ok(Permit { era: self.era, probe: false }) };
        let reason = reason.clone();
        if *until > now {
            return Err(Refused { retry_in: *until - now, reason });
        }
        // A probe that was out of patience is no longer waited for.
        self.enter(Some(Open { until: now + PROBE_PATIENCE, reason }));
        Ok(Permit { era: self.era, probe: true })
    }

    /// Closes when a probe has been due for half a minute and no call came that could be it: how the warehouse is
    /// nobody knows then, and an alarm without an order that waits helps nobody.
    pub fn rest(&mut self, now: Instant) -> Option<Change> {
        if self.open.as_ref()?.until + UNTRIED > now {
            return None;
        }
        self.enter(None);
        Some(Change::Closed)
    }

    /// The call was answered as by a warehouse that works.
    pub fn succeed(&mut self, now: Instant, permit: Permit) -> Option<Change> {
        if permit.era != self.era {
            return None;
        }
        if permit.probe {
            self.enter(None);
            return Some(Change::Closed);
        }
        self.failures_in_a_row = 0;
        self.second(now).calls += 1;
        None
    }

    /// The call failed for a reason that the next one may meet too.
    pub fn fail(
        &mut self,
        now: Instant,
        permit: Permit,
        reason: &str,
        retry_after: Option<Duration>,
    ) -> Option<Change> {
        // Begun before the breaker opened, or before it closed again: it knows nothing about now.
        if permit.era != self.era {
            return None;
        }
        if !permit.probe {
            self.failures_in_a_row += 1;
            let second = self.second(now);
            second.calls += 1;
            second.failures += 1;
            if !self.has_failed_enough(now) {
                return None;
            }
        }
        let retry_in = retry_after.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE);
        self.open_for(retry_in, now, reason.to_owned())
    }

    /// The call was dropped before it had a result. A dropped probe is followed by another one a pause later.
    pub fn abandon(&mut self, now: Instant, permit: Permit) -> Option<Change> {
        if !permit.probe || permit.era != self.era {
            return None;
        }
        let reason = self.open.take()?.reason;
        self.open_for(PAUSE, now, reason)
    }

    fn open_for(&mut self, retry_in: Duration, now: Instant, reason: String) -> Option<Change> {
        self.enter(Some(Open { until: now + retry_in, reason }));
        Some(Change::Opened { retry_in })
    }

    fn enter(&mut self, open: Option<Open>) {
        self.open = open;
        self.era += 1;
        self.window = [Second::default(); WINDOW_SECONDS];
        self.failures_in_a_row = 0;
    }

    fn has_failed_enough(&self, now: Instant) -> bool {
        let oldest = (self.number(now) + 1).saturating_sub(WINDOW_SECONDS as u64);
        let counted = self.window.iter().filter(|second| second.number >= oldest);
        let (calls, failures) = counted.fold((0, 0), |(c, f), second| (c + second.calls, f + second.failures));
        self.failures_in_a_row >= FAILURES_IN_A_ROW || (calls >= FEWEST_CALLS && failures * 2 >= calls)
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs()
    }

    fn second(&mut self, now: Instant) -> &mut Second {
        let number = self.number(now);
        let second = &mut self.window[(number % WINDOW_SECONDS as u64) as usize];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second
    }
}

#[cfg(test)]
mod tests;
