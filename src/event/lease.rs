//! Leases.

use enum_map::Enum;
use strum::IntoStaticStr;

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
