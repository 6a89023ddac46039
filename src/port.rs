//! What the engine and the operations ask of others, as traits of one role each. The worker's own backends implement them.

pub mod activity;
pub mod audit;
pub mod controls;
pub mod dead_letters;
pub mod decisions;
pub mod diagnosis;
pub mod fulfiller;
pub mod horizon;
pub mod intake;
pub mod jobs;
pub mod queue;
pub mod queue_maintenance;
pub mod reconciliation;
pub mod reports;
pub mod retention;
pub mod retrying;
pub mod schema;
pub mod search;
pub mod store;
pub mod trends;
