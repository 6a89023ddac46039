//! Orders in Postgres, in the order API's own tables.
//!
//! Every transition is one statement over arrays: it locks its rows, passes over those that others have locked, repeats
//! state and fence in the `WHERE` of the row it writes, and writes timeline and dead letters along. The SQL is in files of
//! its own beside this one; each says what it guarantees.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use self::connection::Connections;
use self::errors::Failure;
use crate::WorkerId;
use crate::config::SecretUrl;
use crate::domain::order::OrderId;
use crate::event::Observers;
use crate::port::store::{
    BeginRequest, Begun, BuriedLetter, Conclusion, ConnectionUse, DeadLetter, Decision, Inserted, LetterCount,
    LetterFilter, NewOrder, OrderReport, OrderStore, Redriven, Renewal, Renewed, Resolution, StoreError, Summary,
    TimelineEntry, Verdict,
};

mod audit;
mod begin;
mod bisect;
mod conclude;
mod connection;
mod errors;
mod insert;
mod letters;
mod reports;
mod schema;
mod timestamp;
mod tls;

pub use schema::migration_sql;

/// How a [`PostgresStore`] works.
#[derive(Debug, Clone)]
pub struct PostgresStoreOptions {
    /// Who we are in timeline, dead letters and `pg_stat_activity`.
    pub worker: WorkerId,
    /// How long a worker may stay silent before another one takes its order over.
    pub lease: Duration,
    /// Whether each transition is kept in the timeline.
    pub events: bool,
    /// Connections at most, at least 1. A call that finds none free within 5 s is [`StoreError::Unavailable`].
    pub connections: usize,
}

/// Orders in Postgres.
pub struct PostgresStore {
    connections: Connections,
    worker: WorkerId,
    lease: Duration,
    events: bool,
}

impl PostgresStore {
    /// Prepares a store; connects when it is first used, and again whenever a connection was lost.
    ///
    /// The URL's parameters are libpq's, as far as `tokio-postgres` knows them. With `sslmode=require`, and with the
    /// default `prefer` where the server offers TLS, its certificate is verified against the system's trusted roots;
    /// `verify-ca` and `verify-full` mean the same here. A statement may take 30 s. `observers` are told of its connections.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the URL can't be understood. A server that is down is no error here.
    pub fn connect(url: &SecretUrl, options: PostgresStoreOptions, observers: Observers) -> Result<Self, StoreError> {
        Ok(Self {
            connections: Connections::new(url, &options.worker, options.connections, observers)?,
            worker: options.worker,
            lease: options.lease,
            events: options.events,
        })
    }

    /// Turns a failure into an answer. Where something is missing, says what.
    async fn explain<T>(&self, answer: Result<T, Failure>) -> Result<T, StoreError> {
        match answer {
            Ok(value) => Ok(value),
            Err(failure @ Failure::Missing(_)) => {
                schema::check(&self.connections).await?;
                Err(failure.into())
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

#[async_trait]
impl OrderStore for PostgresStore {
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        self.explain(begin::begin(self, requests).await).await
    }

    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        self.explain(conclude::renew(self, renewals).await).await
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        self.explain(conclude::conclude(self, conclusions).await).await
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.explain(reports::bury(self, letters).await).await
    }

    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError> {
        self.explain(insert::insert(&self.connections, orders).await).await
    }

    async fn summary(&self) -> Result<Summary, StoreError> {
        self.explain(reports::summary(self).await).await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderReport>, StoreError> {
        self.explain(reports::order(self, order_id).await).await
    }

    async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, StoreError> {
        self.explain(reports::timeline(self, order_id).await).await
    }

    async fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<BuriedLetter>, StoreError> {
        self.explain(letters::dead_letters(self, filter, after, limit).await).await
    }

    async fn count_dead_letters(&self, filter: &LetterFilter) -> Result<LetterCount, StoreError> {
        self.explain(letters::count_dead_letters(self, filter).await).await
    }

    async fn redrive(&self, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, StoreError> {
        self.explain(letters::redrive(self, letters, decision).await).await
    }

    async fn resolve(
        &self,
        letters: &[i64],
        resolution: Resolution,
        decision: &Decision,
    ) -> Result<Vec<bool>, StoreError> {
        self.explain(letters::resolve(self, letters, resolution, decision).await).await
    }

    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.explain(schema::migrate(&self.connections).await).await
    }

    fn connections(&self) -> ConnectionUse {
        self.connections.in_use()
    }

    async fn check(&self) -> Result<(), StoreError> {
        schema::check(&self.connections).await
    }
}

/// Reads a column; one that has another type than the given schema's is named in the error.
fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Failure> {
    row.try_get(name).map_err(|error| Failure::Refused(format!("column `{name}` has an unexpected type: {error}")))
}

/// What a transition's statement met where an order's row should be.
enum Presence {
    /// The row, which is ours to write until the statement ends.
    Found,
    /// A row that somebody else's transaction has locked.
    Locked,
    /// Nothing.
    Missing,
}

impl Presence {
    fn of(row: &Row) -> Result<Self, Failure> {
        match column(row, "presence")? {
            "found" => Ok(Self::Found),
            "locked" => Ok(Self::Locked),
            "missing" => Ok(Self::Missing),
            other => Err(Failure::Refused(format!("a statement of this program says that a row is {other:?}"))),
        }
    }
}

/// A count as an `integer` column takes it.
fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Postgres text can't hold NUL, and a text of ours is no reason to refuse a row.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}
