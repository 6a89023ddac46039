//! An order on its way from claim to settlement.

use std::time::Duration;

use enum_map::Enum;
use strum::IntoStaticStr;

use crate::domain::dead_letter::DeadReason;
use crate::domain::order::OrderId;
use crate::domain::trace_context::TraceContext;

/// An attempt at an order began, went on or ended, or claims had to wait.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum OrderEvent<'a> {
    /// The loop could have claimed more and had to wait. Repeated at least every second while it waits.
    ClaimsThrottled {
        /// The cause of the wait.
        reason: Throttle,
        /// Time since the previous event about the same wait, or since its start.
        took: Duration,
    },
    /// The number of orders in flight changed: claimed and not settled yet.
    InFlight(usize),
    /// The number of places for calls that are taken changed: by orders claimed whose calls have not ended, or have when
    /// there was no room among those that wait for queue and store.
    CallPlacesTaken(usize),
    /// An attempt began.
    AttemptStarted {
        /// The attempt.
        attempt: AttemptRef<'a>,
        /// True if another worker's lease on the order had expired.
        takeover: bool,
        /// For an order's first attempt: from the row's `created_at` to now, by the database's clock.
        waited: Option<Duration>,
    },
    /// The order is `fulfilled`, and that is committed.
    Fulfilled {
        /// The attempt.
        attempt: AttemptRef<'a>,
        /// From claim to commit.
        took: Duration,
        /// From the row's `created_at` to now.
        age: Option<Duration>,
        /// The fulfiller's reference.
        reference: Option<&'a str>,
    },
    /// An attempt failed. Exactly one [`OrderEvent::Retried`] or [`OrderEvent::DeadLettered`] goes with it.
    AttemptFailed {
        /// The attempt.
        attempt: AttemptRef<'a>,
        /// From claim to now.
        took: Duration,
        /// The cause of the failure.
        error: &'a str,
    },
    /// A message goes back to the queue.
    Retried {
        /// The attempt.
        attempt: AttemptRef<'a>,
        /// The cause of the retry.
        reason: RetryReason,
        /// The queue delivers the message no sooner.
        after: Duration,
    },
    /// A message was given up and is kept as a dead letter.
    DeadLettered {
        /// The attempt.
        attempt: AttemptRef<'a>,
        /// The cause, as a label.
        reason: DeadReason,
        /// The cause, for people.
        detail: &'a str,
    },
    /// A message was dropped because its order is `fulfilled` or `failed` already.
    AlreadyFinal {
        /// The attempt.
        attempt: AttemptRef<'a>,
    },
    /// A message was dropped because another system owns its order's status.
    Skipped {
        /// The attempt.
        attempt: AttemptRef<'a>,
        /// The status found.
        status: &'a str,
    },
    /// An order was found to be cancelled, by the message that was dropped for it. One of [`OrderEvent::Skipped`] and
    /// [`OrderEvent::AlreadyFinal`] goes with it.
    Cancelled {
        /// The attempt.
        attempt: AttemptRef<'a>,
        /// The state that it was cancelled in, as far as this worker has seen.
        from: CancelledFrom,
    },
    /// A conclusion came too late: the row had moved on and was left unchanged.
    Superseded {
        /// The attempt.
        attempt: AttemptRef<'a>,
    },
    /// A lease was lost while the attempt went on.
    LeaseLost {
        /// The lease that was lost.
        lease: Lease,
        /// The attempt.
        attempt: AttemptRef<'a>,
    },
}

/// The attempt that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptRef<'a> {
    /// `None` for an invalid message.
    pub order_id: Option<OrderId>,
    /// From the message.
    pub correlation_id: Option<&'a str>,
    /// The attempt's number, from 1.
    pub number: u32,
    /// The attempt's span; `None` while no traces are exported.
    pub trace: Option<TraceContext>,
}

/// Why a message goes back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum RetryReason {
    /// The fulfiller asked for another try.
    FulfillerFailed,
    /// The fulfiller took longer than its deadline.
    FulfillerTimeout,
    /// The fulfiller panicked.
    FulfillerPanicked,
    /// The fulfiller may or may not have done the work.
    FulfillerAmbiguous,
    /// The fulfiller takes no work now. No attempt is spent.
    FulfillerUnavailable,
    /// The fulfiller has the order in work and is asked again. No attempt is spent.
    FulfillerInProgress,
    /// The order has no row (yet).
    UnknownOrder,
    /// The database refused the row.
    StoreRefused,
    /// Another worker holds the order. No attempt is spent.
    Busy,
    /// Another transaction has locked the order's row. No attempt is spent.
    RowLocked,
    /// The row's lease was lost while the work went on. No attempt is spent.
    LeaseLost,
    /// A drain handed the message back. No attempt is spent.
    HandedBack,
    /// The order was claimed ahead, and no call ended in time to make room for its own. No attempt is spent.
    NoPlace,
    /// An operator, or its message, holds the order. No attempt is spent.
    Held,
}

impl RetryReason {
    /// True if the retry counts towards `--max-attempts`.
    pub fn spends_attempt(self) -> bool {
        match self {
            Self::FulfillerFailed
            | Self::FulfillerTimeout
            | Self::FulfillerPanicked
            | Self::FulfillerAmbiguous
            | Self::UnknownOrder
            | Self::StoreRefused => true,
            Self::FulfillerUnavailable
            | Self::FulfillerInProgress
            | Self::Busy
            | Self::RowLocked
            | Self::LeaseLost
            | Self::HandedBack
            | Self::NoPlace
            | Self::Held => false,
        }
    }
}

/// The state that a cancelled order was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum CancelledFrom {
    /// Its message was claimed after it was cancelled: no call was made by this attempt.
    Pending,
    /// Its attempt ended after it was cancelled.
    Processing,
}

/// Why claims have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Throttle {
    /// Every place for a call is taken: there are as many as `--concurrency` allows.
    Concurrency,
    /// Earlier batches have not begun yet.
    Begin,
    /// Queue or store are slow, and as many orders wait for them as their speed allows.
    SlowBackend,
    /// The fulfiller takes no work.
    Fulfiller,
    /// An operator paused the fleet or this worker, or it isn't known yet whether one did.
    Paused,
    /// An operator's limit of the rate.
    Rate,
}

/// One of the two leases that an attempt holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
pub enum Lease {
    /// On the message in the queue.
    #[strum(serialize = "queue")]
    Message,
    /// On the order's row in the store.
    #[strum(serialize = "row")]
    Row,
}
