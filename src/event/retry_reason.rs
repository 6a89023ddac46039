//! Why work is done again.

/// Why a message goes back to the queue to be delivered again. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// The fulfiller asked for another try.
    FulfillerFailed,
    /// The fulfiller took longer than its deadline.
    FulfillerTimeout,
    /// The fulfiller panicked.
    FulfillerPanicked,
    /// Nobody knows whether the fulfiller did the work.
    FulfillerAmbiguous,
    /// The fulfiller takes no work now. No attempt is spent.
    FulfillerUnavailable,
    /// The fulfiller has the order in work and is asked again. No attempt is spent.
    FulfillerInProgress,
    /// The order's row was not there (yet).
    UnknownOrder,
    /// The database refused the row.
    StoreRefused,
    /// Another worker holds the order. No attempt is spent.
    Busy,
    /// Another transaction has locked the order's row. No attempt is spent.
    RowLocked,
    /// The row's lease was lost while the work went on. No attempt is spent.
    LeaseLost,
    /// Handed back by a drain. No attempt is spent.
    HandedBack,
}

impl RetryReason {
    /// Every reason, for metrics that show each from the start.
    pub const ALL: [Self; 12] = [
        Self::FulfillerFailed,
        Self::FulfillerTimeout,
        Self::FulfillerPanicked,
        Self::FulfillerAmbiguous,
        Self::FulfillerUnavailable,
        Self::FulfillerInProgress,
        Self::UnknownOrder,
        Self::StoreRefused,
        Self::Busy,
        Self::RowLocked,
        Self::LeaseLost,
        Self::HandedBack,
    ];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FulfillerFailed => "fulfiller_failed",
            Self::FulfillerTimeout => "fulfiller_timeout",
            Self::FulfillerPanicked => "fulfiller_panicked",
            Self::FulfillerAmbiguous => "fulfiller_ambiguous",
            Self::FulfillerUnavailable => "fulfiller_unavailable",
            Self::FulfillerInProgress => "fulfiller_in_progress",
            Self::UnknownOrder => "unknown_order",
            Self::StoreRefused => "store_refused",
            Self::Busy => "busy",
            Self::RowLocked => "row_locked",
            Self::LeaseLost => "lease_lost",
            Self::HandedBack => "handed_back",
        }
    }
}
