//! The work itself: whatever makes an order's goods go out.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::order::{IdempotencyKey, Order};

/// How a call to the fulfiller ended. Reasons are for people, and go into the order's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done. The fulfiller's own reference, if it gave one, is kept in the order's timeline.
    Fulfilled {
        /// The fulfiller's own name for what it did.
        reference: Option<String>,
    },
    /// It will never be done: the order is dead-lettered at once.
    Rejected {
        /// Why.
        reason: String,
    },
    /// It failed this time, and nothing was done: the order is retried until its attempts are used up.
    Retry {
        /// Why.
        reason: String,
        /// The earliest time to try again, if the fulfiller named one; else the retry policy decides.
        after: Option<Duration>,
    },
    /// The fulfiller as a whole takes no work now. Nothing was done, and it says nothing about the order: no attempt
    /// is spent.
    Unavailable {
        /// Why.
        reason: String,
        /// As in [`Outcome::Retry`].
        after: Option<Duration>,
    },
    /// The fulfiller has the order in work under this key and wants to be asked again: no attempt is spent.
    InProgress {
        /// Why.
        reason: String,
        /// As in [`Outcome::Retry`].
        after: Option<Duration>,
    },
    /// Nobody knows whether it was done, as when no answer came. Retried as a failure, with the same key, unless
    /// [`WhenAmbiguous::Park`](crate::domain::retry::WhenAmbiguous::Park) forbids it.
    Ambiguous {
        /// Why.
        reason: String,
        /// As in [`Outcome::Retry`].
        after: Option<Duration>,
        /// Whether it counts as an attempt: not when every call fails now, which says nothing about this order.
        spent: bool,
    },
}

/// Does the work of one order.
///
/// A call may be repeated for the same order, after a crash even when it had succeeded: what must happen once has to
/// be made so with the `key`, which is the same every time. The worker puts a timeout around the call and catches
/// its panics; either counts as [`Outcome::Ambiguous`].
///
/// ```
/// use fulfillment_worker::prelude::*;
///
/// struct Labels;
///
/// #[async_trait]
/// impl Fulfiller for Labels {
///     async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome {
///         // A name of its own for each order, the same on every attempt: printed twice, it is one label.
///         match std::fs::write(std::env::temp_dir().join(key.to_string()), order.id.to_string()) {
///             Ok(()) => Outcome::Fulfilled { reference: Some(key.to_string()) },
///             Err(error) => Outcome::Retry { reason: format!("the label can't be written: {error}"), after: None },
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Fulfiller: Send + Sync {
    /// Does the work and says how it went. Dropped half way when the row's lease is lost or a drain takes too long.
    async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome;

    /// Waits until it takes work, and says for how many orders more than it has been called for, at least 1. The worker
    /// claims no more than that, less the orders in hand that it has not called for yet: those come without asking. May be
    /// dropped at any time.
    async fn capacity(&self) -> usize {
        usize::MAX
    }
}
