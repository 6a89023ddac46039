//! The deletion of old timelines.

use std::time::Duration;

/// The worker deleted something, went through, failed or doesn't lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetentionEvent {
    /// Another worker deletes.
    Follows,
    /// A page is done.
    Deleted {
        /// Number of deleted entries.
        entries: u64,
    },
    /// Everything that ended before the cutoff is deleted.
    RoundDone {
        /// Number of entries that this round deleted.
        entries: u64,
        /// How far the cutoff is behind `--keep-events`.
        behind: Duration,
    },
    /// A round came to nothing.
    RoundFailed {
        /// The time since one didn't, or since the start.
        behind: Duration,
    },
}
