//! The order and its life: the states a row can be in, and the only steps this worker may take between them.
//!
//! Everything here is pure. The SQL of each backend states the same guards in its own words, and the conformance
//! suite compares every backend with [`admit`] over every state and step.

use std::fmt;
use std::time::Duration;

/// Primary key of a row in `orders`, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub i64);

impl OrderId {
    /// The lowest that a message can name.
    pub const LOWEST: Self = Self(1);
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value of a row's `updated_at`, in microseconds since 1970-01-01 00:00 on the database's own clock.
///
/// Every transition names the fence it leaves and writes a strictly larger one, so whoever holds an older fence can
/// no longer write (Kleppmann, "How to do distributed locking", 2016). Only the database makes fences; the worker
/// just hands them back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub i64);

/// What `orders.status` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Waiting for a worker.
    Pending,
    /// In a worker's hands until its lease, counted from `updated_at`, runs out.
    Processing,
    /// Done. Final.
    Fulfilled,
    /// Dead-lettered. Final until an operator redrives it.
    Failed,
    /// Called off, by an operator's `cancel` or by the order API. Final.
    Cancelled,
    /// A status of somebody else's. Never overwritten.
    Foreign(String),
}

impl State {
    /// The text in the `status` column.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Fulfilled => "fulfilled",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Foreign(status) => status,
        }
    }

    /// Whether no worker may move the order any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Fulfilled | Self::Failed | Self::Cancelled)
    }
}

impl From<&str> for State {
    fn from(status: &str) -> Self {
        match status {
            "pending" => Self::Pending,
            "processing" => Self::Processing,
            "fulfilled" => Self::Fulfilled,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            other => Self::Foreign(other.to_owned()),
        }
    }
}

/// What a row shows at the moment a step is decided, all of it read under the row's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowView {
    /// The row's status.
    pub state: State,
    /// The row's `updated_at`.
    pub fence: Fence,
    /// How long ago `updated_at` is, by the database's clock.
    pub idle: Duration,
}

/// A step from one state to another. The ones that end an attempt carry the fence that their worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Take the order into work: from `pending`, or from a `processing` whose lease is over (a takeover).
    Begin {
        /// How long a worker may stay silent before another one takes its order over.
        lease: Duration,
    },
    /// Keep a long call's row lease alive: the fence moves, the state stays.
    Renew(Fence),
    /// The work is done.
    Fulfil(Fence),
    /// Back to `pending`: a failed attempt that is to be retried, or an order handed back by a drain.
    Release(Fence),
    /// Give up: dead-letter the order.
    Fail(Fence),
    /// An operator puts a failed order back to `pending`.
    Redrive,
    /// An operator calls the order off, before its call or during it. Decided under the row's lock, so that the fence found is
    /// the one left: whoever held it is superseded.
    Cancel,
}

impl Step {
    /// The state that this step enters.
    pub fn enters(self) -> State {
        match self {
            Self::Begin { .. } | Self::Renew(_) => State::Processing,
            Self::Fulfil(_) => State::Fulfilled,
            Self::Release(_) | Self::Redrive => State::Pending,
            Self::Fail(_) => State::Failed,
            Self::Cancel => State::Cancelled,
        }
    }
}

/// Why a step may not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The order is `fulfilled`, `failed` or `cancelled` already.
    Final,
    /// Another worker holds it; its lease runs for this much longer.
    Busy(Duration),
    /// The status belongs to somebody else.
    NotOurs,
    /// The row has moved on since the fence was handed out.
    Superseded,
}

/// Decides whether `step` may be taken from `row`, and which state it enters.
///
/// # Errors
/// The [`Refusal`] says why not. A refused step leaves the row as it was.
pub fn admit(row: &RowView, step: Step) -> Result<State, Refusal> {
    let allowed = match step {
        Step::Begin { lease } => match &row.state {
            State::Pending => Ok(()),
            State::Processing if row.idle > lease => Ok(()),
            State::Processing => Err(Refusal::Busy(lease.saturating_sub(row.idle))),
            State::Fulfilled | State::Failed => Err(Refusal::Final),
            // Whoever cancelled it: the message is dropped as skipped.
            State::Cancelled | State::Foreign(_) => Err(Refusal::NotOurs),
        },
        Step::Renew(held) | Step::Fulfil(held) | Step::Release(held) | Step::Fail(held) => match &row.state {
            State::Processing if row.fence == held => Ok(()),
            _ => Err(Refusal::Superseded),
        },
        Step::Redrive => match &row.state {
            State::Failed => Ok(()),
            State::Fulfilled | State::Cancelled => Err(Refusal::Final),
            State::Pending | State::Processing => Err(Refusal::Superseded),
            State::Foreign(_) => Err(Refusal::NotOurs),
        },
        Step::Cancel => match &row.state {
            State::Pending | State::Processing => Ok(()),
            // What failed is at rest: its dead letter is what there is to decide about.
            State::Fulfilled | State::Failed | State::Cancelled => Err(Refusal::Final),
            State::Foreign(_) => Err(Refusal::NotOurs),
        },
    };
    allowed.map(|()| step.enters())
}

/// The number of spent attempts of an order in `state` whose timeline ends with `last`.
///
/// An attempt that began and did not end is spent, as it would be had its message not been lost: a message that kills
/// its worker must run out of attempts. An attempt that ended with the order back at `pending` may have been handed
/// back unspent, which the timeline doesn't say: it is not counted, as an outage must cost nothing. A timeline that
/// doesn't end with the row's state has missed something, such as a person's decision: the count starts anew.
pub fn attempts_spent(state: &State, last: Option<(State, u32)>) -> u32 {
    match (state, last) {
        (State::Processing, Some((State::Processing, attempt))) => attempt,
        (State::Pending, Some((State::Pending, attempt))) => attempt.saturating_sub(1),
        _ => 0,
    }
}

/// An order in work, as its row described it when the attempt began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Key of the row.
    pub id: OrderId,
    /// Key of the product in `products`.
    pub product_id: i64,
    /// The product's name. `None` where the product can't be found.
    pub product: Option<String>,
    /// Pieces ordered, at least 1.
    pub quantity: i64,
    /// The row's `created_at` in microseconds since 1970-01-01 00:00, read without a time zone as the column has
    /// none. `None` where the column is null.
    pub created_at_micros: Option<i64>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Follows the order into logs and traces, when its producer set one.
    pub correlation_id: Option<String>,
    /// W3C Trace Context of the producer, when it set one: from the message, as no row has it.
    pub traceparent: Option<String>,
}

impl Order {
    /// The key that makes repeated calls for this order one effect at a fulfiller that honours it.
    ///
    /// The same for every attempt, worker, redrive and reconciliation, as it depends on nothing but the row's `id`
    /// and `created_at`; the latter keeps keys apart when a database is rebuilt and counts from 1 again.
    pub fn idempotency_key(&self) -> IdempotencyKey {
        IdempotencyKey::of(self.id, self.created_at_micros)
    }
}

/// See [`Order::idempotency_key`]. ASCII letters, digits and `-` only, at most 48 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of the order whose row has this `id` and `created_at`.
    pub fn of(id: OrderId, created_at_micros: Option<i64>) -> Self {
        Self(match created_at_micros {
            Some(created_at) => format!("order-{id}-{created_at}"),
            None => format!("order-{id}"),
        })
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time of the database, in microseconds since 1970-01-01 00:00 on its own clock, as ISO 8601 with microseconds. As
/// the column has no zone, neither has this. `None` outside the years that it can say.
pub fn iso_8601(micros: i64) -> Option<String> {
    let at = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_microsecond(micros).ok()?);
    Some(at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string())
}

#[cfg(test)]
mod tests;
