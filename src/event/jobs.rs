//! The bulk work of operators.

use crate::port::jobs::Outcome;

/// This worker looked for jobs, or got on with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobsEvent<'a> {
    /// Jobs that have not ended were counted.
    Open(u64),
    /// This worker goes on with a job.
    Began {
        /// Its number.
        id: i64,
        /// Its kind, as it is stored.
        kind: &'a str,
    },
    /// A page was decided about.
    Decided {
        /// For how many it did what it was to do.
        done: u64,
        /// For how many there was nothing to do.
        skipped: u64,
        /// For how many it could not be done.
        refused: u64,
    },
    /// A job isn't getting on; somebody tries again.
    Stuck {
        /// Its number.
        id: i64,
        /// Why.
        problem: &'a str,
    },
    /// A job came to its end in this worker's hands.
    Ended {
        /// Its number.
        id: i64,
        /// How.
        outcome: Outcome,
        /// For how many it did what it was to do, from the beginning.
        done: u64,
        /// For how many it could not be done.
        refused: u64,
    },
}
