//! Bugs on purpose. `tests/integration/mutants` shows for each of them that it would be noticed.
//!
//! A worker that was built with the feature `faults` has the bug that `FULFILLMENT_MUTANT` names. Without the feature
//! nothing of this is in the binary: [`is_mutant`] is `false`, and [`source`] is the file.

#[cfg(feature = "faults")]
mod seeded;

#[cfg(feature = "faults")]
pub use seeded::Mutant;
#[cfg(feature = "faults")]
pub(crate) use seeded::{announce, is, text_of};

/// Whether this worker has the bug.
#[cfg(not(feature = "faults"))]
macro_rules! is_mutant {
    ($mutant:ident) => {
        false
    };
}
#[cfg(feature = "faults")]
macro_rules! is_mutant {
    ($mutant:ident) => {
        $crate::testing::mutant::is($crate::testing::mutant::Mutant::$mutant)
    };
}
pub(crate) use is_mutant;

/// The text of a file of SQL or Lua beside the one that asks, with the bug if it has one there.
#[cfg(not(feature = "faults"))]
macro_rules! source {
    ($file:expr) => {
        include_str!($file)
    };
}
#[cfg(feature = "faults")]
macro_rules! source {
    ($file:expr) => {
        $crate::testing::mutant::text_of($file, include_str!($file))
    };
}
pub(crate) use source;
