//! Faults and bugs on purpose. Only the tests' builds have them.

#[cfg(feature = "faults")]
pub mod failpoint;
pub mod mutant;
