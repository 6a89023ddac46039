//! The embedded store: `products` and `orders` as the order API has them, the timeline and the dead letters, in the
//! file of [`crate::backend::sqlite::database`].
//!
//! Each transition reads the row, asks [`crate::domain::order::admit`] and writes, in one transaction that no other writer can
//! come between. Null columns of rows that somebody else wrote are read so: a null `status` is the foreign one
//! `null`, a null `updated_at` is infinitely old.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::WorkerId;
use crate::backend::sqlite::database::{Database, DatabaseError};
use crate::domain::order::OrderId;
use crate::port::store::{
    BeginRequest, Begun, BuriedLetter, Conclusion, ConnectionUse, DeadLetter, Decision, Inserted, LetterCount,
    LetterFilter, NewOrder, OrderReport, OrderStore, Redriven, Renewal, Renewed, Resolution, StoreError, Summary,
    TimelineEntry, Verdict,
};

mod audit;
mod insertion;
mod letters;
mod reading;
mod row_by_row;
mod transition;

pub use crate::backend::sqlite::database::migration_sql;

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
pub struct SqliteStore {
    database: Database,
    options: SqliteStoreOptions,
}

impl SqliteStore {
    /// Uses the tables in `database`.
    pub fn new(database: Database, options: SqliteStoreOptions) -> Self {
        Self { database, options }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("database", &self.database).field("options", &self.options).finish()
    }
}

#[async_trait]
impl OrderStore for SqliteStore {
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let (requests, options) = (requests.to_vec(), self.options.clone());
        Ok(self.database.write(move |connection| transition::begin(connection, &options, &requests)).await?)
    }

    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        if renewals.is_empty() {
            return Ok(Vec::new());
        }
        let renewals = renewals.to_vec();
        Ok(self.database.write(move |connection| transition::renew(connection, &renewals)).await?)
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        if conclusions.is_empty() {
            return Ok(Vec::new());
        }
        let (conclusions, options) = (conclusions.to_vec(), self.options.clone());
        Ok(self.database.write(move |connection| transition::conclude(connection, &options, &conclusions)).await?)
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        if letters.is_empty() {
            return Ok(());
        }
        let (letters, worker) = (letters.to_vec(), self.options.worker.clone());
        Ok(self.database.write(move |connection| insertion::bury(connection, &worker, &letters)).await?)
    }

    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let orders = orders.to_vec();
        Ok(self.database.write(move |connection| insertion::insert(connection, &orders)).await?)
    }

    async fn summary(&self) -> Result<Summary, StoreError> {
        Ok(self.database.read(reading::summary).await?)
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderReport>, StoreError> {
        Ok(self.database.read(move |connection| reading::order(connection, order_id)).await?)
    }

    async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, StoreError> {
        Ok(self.database.read(move |connection| reading::timeline(connection, order_id)).await?)
    }

    async fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<BuriedLetter>, StoreError> {
        let filter = filter.clone();
        Ok(self.database.read(move |connection| letters::dead_letters(connection, &filter, after, limit)).await?)
    }

    async fn count_dead_letters(&self, filter: &LetterFilter) -> Result<LetterCount, StoreError> {
        let filter = filter.clone();
        Ok(self.database.read(move |connection| letters::count_dead_letters(connection, &filter)).await?)
    }

    async fn redrive(&self, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, StoreError> {
        let (ids, decision, options) = (letters.to_vec(), decision.clone(), self.options.clone());
        Ok(self.database.write(move |connection| letters::redrive(connection, &options, &ids, &decision)).await?)
    }

    async fn resolve(
        &self,
        letters: &[i64],
        resolution: Resolution,
        decision: &Decision,
    ) -> Result<Vec<bool>, StoreError> {
        let (ids, decision) = (letters.to_vec(), decision.clone());
        Ok(self.database.write(move |connection| letters::resolve(connection, &ids, resolution, &decision)).await?)
    }

    /// Opening the file has made the tables already, unless somebody dropped them since: what that applied is part
    /// of the first answer.
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.database.migrate().await?)
    }

    fn connections(&self) -> ConnectionUse {
        ConnectionUse::default()
    }

    async fn check(&self) -> Result<(), StoreError> {
        let missing = self.database.read(reading::missing_columns).await?;
        if missing.is_empty() { Ok(()) } else { Err(StoreError::Schema(missing)) }
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
