//! What happens on the way to the fulfiller and back, and which calls are under way.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Dependency, Event, Observers};

/// How one call to the fulfiller ended. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// Done.
    Fulfilled,
    /// It will never be done.
    Rejected,
    /// It failed, and nothing was done.
    Failed,
    /// The fulfiller takes no work now, and nothing was done.
    Unavailable,
    /// The fulfiller has the order in work.
    InProgress,
    /// Nobody knows whether it was done: no answer within the limit, a lost connection, a panic.
    Ambiguous,
    /// Broken off: the row's lease was lost, or a drain took too long. Nobody knows whether it was done.
    BrokenOff,
}

impl CallOutcome {
    /// Every outcome, for metrics that show each from the start.
    pub const ALL: [Self; 7] = [
        Self::Fulfilled,
        Self::Rejected,
        Self::Failed,
        Self::Unavailable,
        Self::InProgress,
        Self::Ambiguous,
        Self::BrokenOff,
    ];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fulfilled => "fulfilled",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unavailable => "unavailable",
            Self::InProgress => "in_progress",
            Self::Ambiguous => "ambiguous",
            Self::BrokenOff => "broken_off",
        }
    }
}

/// How one HTTP request to the fulfiller ended. A call makes one request, and more where it polls a status URL. A
/// closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestClass {
    /// 2xx, but for 202.
    Done,
    /// 202: taken, and not done yet.
    Accepted,
    /// 409: in work under this key already.
    InProgress,
    /// 429 or 503: not now.
    Unavailable,
    /// 408 or 425: try again.
    TryAgain,
    /// 3xx, which is never followed.
    Redirect,
    /// Another 4xx.
    Rejected,
    /// Another 5xx.
    ServerError,
    /// Sent, and no answer within the limit.
    Timeout,
    /// Sent, and the connection was lost before the answer.
    ConnectionLost,
    /// Nothing was sent, as there was no connection to be had.
    Unreachable,
}

impl RequestClass {
    /// Every class, for metrics that show each from the start.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Accepted,
        Self::InProgress,
        Self::Unavailable,
        Self::TryAgain,
        Self::Redirect,
        Self::Rejected,
        Self::ServerError,
        Self::Timeout,
        Self::ConnectionLost,
        Self::Unreachable,
    ];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Accepted => "accepted",
            Self::InProgress => "in_progress",
            Self::Unavailable => "unavailable",
            Self::TryAgain => "try_again",
            Self::Redirect => "redirect",
            Self::Rejected => "rejected",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::ConnectionLost => "connection_lost",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What the circuit breaker in front of the fulfiller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Lets every call through.
    Closed,
    /// Lets none through.
    Open,
    /// Lets one through, to see whether the fulfiller is back.
    HalfOpen,
}

impl BreakerState {
    /// Every state, for metrics that show each from the start.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What a call waits for before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limiter {
    /// One of the calls under way to end.
    Concurrency,
    /// The next call that the rate allows.
    Rate,
}

impl Limiter {
    /// Both, for metrics that show each from the start.
    pub const ALL: [Self; 2] = [Self::Concurrency, Self::Rate];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
        }
    }
}

/// Tells one call from every other one of this process. A later call has a greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

impl CallId {
    /// One that no other call has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A call to a dependency, told as under way until this is dropped.
#[must_use]
pub struct UnderWay<'a> {
    observers: &'a Observers,
    call: CallId,
    to: Dependency,
}

impl<'a> UnderWay<'a> {
    pub(super) fn begin(observers: &'a Observers, to: Dependency) -> Self {
        let call = CallId::fresh();
        observers.emit(Event::CallBegan { call, to });
        Self { observers, call, to }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.observers.emit(Event::CallOver { call: self.call, to: self.to });
    }
}

/// What claims wait for. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldBack {
    /// Orders in flight are as many as there may be.
    Concurrency,
    /// Batches that were claimed before are not begun yet.
    Begin,
    /// Queue or store are slow, and as many orders wait for them in our hands as is right then.
    SlowBackend,
    /// The fulfiller takes no work.
    Fulfiller,
}

impl HeldBack {
    /// Every reason, for metrics that show each from the start.
    pub const ALL: [Self; 4] = [Self::Concurrency, Self::Begin, Self::SlowBackend, Self::Fulfiller];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Begin => "begin",
            Self::SlowBackend => "slow_backend",
            Self::Fulfiller => "fulfiller",
        }
    }
}
