//! Queue and store in one embedded database.

pub mod database;
pub mod queue;
pub mod store;
