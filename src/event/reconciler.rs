//! The search for orders without a message.

use std::time::Duration;

use enum_map::Enum;
use jiff::Timestamp;
use strum::IntoStaticStr;

use crate::domain::order::OrderId;

/// The reconciler took or lost the lead, finished a round or found something.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ReconcilerEvent<'a> {
    /// The store answered whether this worker's reconciler leads.
    Leads(bool),
    /// The leading reconciler completed a round and repaired everything that it found.
    RoundDone,
    /// The reconciler repaired something.
    DriftFound {
        /// The kind of damage.
        drift: Drift,
        /// Number of repaired items.
        count: u64,
        /// Some of the orders, where they are known.
        first: &'a [OrderId],
    },
    /// Open orders too old for the reconciler. Counted every few rounds while it leads.
    StaleOrders {
        /// Number of these orders.
        orders: u64,
        /// `--reconcile-max-age`.
        max_age: Duration,
    },
    /// Open orders older than the horizon that were never begun here. Counted every few rounds while it leads.
    OrdersBeforeHorizon {
        /// Number of these orders.
        orders: u64,
        /// Where the horizon lies; `None` if orders of every age are taken in.
        adopt_from: Option<Timestamp>,
    },
    /// The leading reconciler has looked through some orders for open ones, as no index leads to these.
    Swept {
        /// Open orders that were not known of: somebody opened them again, or their ids came late.
        found: u64,
        /// Whether the last of all orders was looked at.
        is_through: bool,
    },
}

/// A kind of damage that the reconciler repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Drift {
    /// A `pending` order without a message.
    LostMessage,
    /// A `processing` order without a message, whose worker has been silent for long.
    AbandonedOrder,
    /// A claimed message without a lease, which the queue would never deliver again.
    MessageWithoutLease,
    /// A lease or a retry without a message.
    LeaseWithoutMessage,
}
