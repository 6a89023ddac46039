//! Calls to the fulfiller: their requests, limits and results.

use std::time::Duration;

use enum_map::Enum;
use strum::IntoStaticStr;

use super::AttemptRef;

/// A call or a request to the fulfiller ended or was delayed, or its circuit breaker changed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FulfillerEvent<'a> {
    /// An attempt's call ended. Its result is not committed yet.
    CallEnded {
        /// The attempt.
        attempt: AttemptRef<'a>,
        /// How it ended.
        outcome: CallOutcome,
        /// From its start to now.
        took: Duration,
        /// The fulfiller's reference, or its reason.
        detail: Option<&'a str>,
    },
    /// One HTTP request ended.
    RequestEnded {
        /// How it ended.
        class: RequestClass,
        /// From sending to the end of the answer.
        took: Duration,
    },
    /// The circuit breaker entered this state.
    BreakerMoved(BreakerState),
    /// A call waited for a limit before it was made.
    LimiterWaited {
        /// The limit.
        limiter: Limiter,
        /// Duration of the wait.
        took: Duration,
    },
    /// The retry budget delayed a repeated call beyond the retry policy's delay.
    RepeatPutOff {
        /// Time from the failed call to its repetition.
        after: Duration,
    },
}

/// How one call to the fulfiller ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum CallOutcome {
    /// The work is done.
    Fulfilled,
    /// The fulfiller will never do the work.
    Rejected,
    /// The call failed, and no work was done.
    Failed,
    /// The fulfiller takes no work now, and did none.
    Unavailable,
    /// The fulfiller has the order in work.
    InProgress,
    /// The work may or may not be done: no answer within the limit, a lost connection, a panic.
    Ambiguous,
    /// The worker broke the call off because the row's lease was lost or a drain took too long. The work may or may not
    /// be done.
    BrokenOff,
}

/// How one HTTP request to the fulfiller ended. A call makes one request, and more where it polls a status URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RequestClass {
    /// 2xx except 202.
    Done,
    /// 202: accepted, and not done yet.
    Accepted,
    /// 409: in work under this key already.
    InProgress,
    /// 429 or 503: not now.
    Unavailable,
    /// 408 or 425: try again.
    TryAgain,
    /// 3xx, which the worker never follows.
    Redirect,
    /// Another 4xx.
    Rejected,
    /// Another 5xx.
    ServerError,
    /// Sent, and no answer within the limit.
    Timeout,
    /// Sent, and the connection was lost before the answer.
    ConnectionLost,
    /// Not sent, as no connection could be made.
    Unreachable,
}

/// State of the circuit breaker in front of the fulfiller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum BreakerState {
    /// Lets every call through.
    Closed,
    /// Lets no call through.
    Open,
    /// Lets one call through as a probe.
    HalfOpen,
}

/// A limit that a call may have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Limiter {
    /// Calls under way at once.
    Concurrency,
    /// Calls per second.
    Rate,
}
