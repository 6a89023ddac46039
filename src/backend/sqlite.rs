//! Queue and store in one embedded database.

pub mod database;
mod diagnosis;
pub mod queue;
pub mod store;
