//! The embedded store: `products` and `orders` as the order API has them, the timeline and the dead letters, in the
//! file of [`crate::backend::sqlite::database`].
//!
//! Each transition reads the row, asks [`crate::domain::order::admit`] and writes, in one transaction that no other
//! writer can come between. Null columns of rows that somebody else wrote are read so: a null `status` is the foreign
//! one `null`, a null `updated_at` is infinitely old.

use std::time::Duration;

use crate::backend::sqlite::database::{Database, DatabaseError};
use crate::domain::worker_id::WorkerId;
use crate::port::store::StoreError;

mod activity;
mod audit;
mod batch;
mod controls;
mod dead_letters;
mod decisions;
mod feed;
mod horizon;
mod intake;
mod jobs;
mod observed;
mod reconciliation;
mod reports;
mod retention;
mod row_by_row;
mod schema;
mod search;
mod transition;
mod trends;

/// How a [`SqliteStore`] behaves.
#[derive(Debug, Clone)]
pub struct SqliteStoreOptions {
    /// Who moves the orders; kept in the timeline.
    pub worker: WorkerId,
    /// How long a worker may stay silent before its orders may be taken over.
    pub lease: Duration,
    /// Whether each transition is kept in the timeline.
    pub events: bool,
}

/// A store in an embedded database.
#[derive(Debug)]
pub struct SqliteStore {
    database: Database,
    options: SqliteStoreOptions,
}

impl SqliteStore {
    /// Uses the tables in `database`.
    pub fn new(database: Database, options: SqliteStoreOptions) -> Self {
        Self { database, options }
    }

    /// The file.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(problem) => Self::Unavailable(problem),
            DatabaseError::Refused(problem) => Self::Refused(problem),
            DatabaseError::Missing(name) => Self::Schema(vec![name]),
        }
    }
}

#[cfg(test)]
mod tests;
