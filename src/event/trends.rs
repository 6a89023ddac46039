//! The history that this worker keeps in the store.

/// Minutes of the history were written, or could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrendsEvent<'a> {
    /// The store has all minutes up to the current one.
    Written {
        /// How many rows that were.
        rows: u64,
    },
    /// They are kept in memory, and written when the store answers again.
    Unwritten {
        /// Why.
        error: &'a str,
        /// How many times in a row, from 1.
        failures: u32,
        /// How many minutes that have ended are kept.
        kept: u64,
    },
}
