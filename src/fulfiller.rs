//! The work itself: whatever makes an order's goods go out.

use std::time::Duration;

use async_trait::async_trait;

use crate::order::{IdempotencyKey, Order};

pub mod simulated;

/// How a call to the fulfiller ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done. The fulfiller's own reference, if it gave one, is kept in the order's timeline.
    Fulfilled {
        /// The fulfiller's own name for what it did.
        reference: Option<String>,
    },
    /// It will never be done: the order is dead-lettered at once.
    Rejected {
        /// Why, for a person.
        reason: String,
    },
    /// It failed this time: the order is retried until its attempts are used up.
    Retry {
        /// Why, for a person.
        reason: String,
        /// The earliest time to try again, if the fulfiller named one; else the retry policy decides.
        after: Option<Duration>,
    },
}

/// Does the work of one order.
///
/// A call may be repeated for the same order, after a crash even when it had succeeded: what must happen once has to
/// be made so with the `key`, which is the same every time. The worker puts a timeout around the call and catches
/// its panics.
#[async_trait]
pub trait Fulfiller: Send + Sync {
    /// Does the work and says how it went.
    async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome;
}
