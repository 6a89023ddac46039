//! What the engine and the operations ask of others, as traits. [`crate::backend`] implements them.

pub mod dead_letters;
pub mod fulfiller;
pub mod queue;
pub mod queue_maintenance;
pub mod reconciliation;
pub mod store;
