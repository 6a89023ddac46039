//! Orders in Postgres, in the order API's own tables.
//!
//! Every transition is one statement over arrays: it locks its rows, passes over those that others have locked, repeats
//! state and fence in the `WHERE` of the row it writes, and writes timeline and dead letters along. The SQL is in files
//! of its own beside this one; each says what it guarantees.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use self::connection::{Connections, Parameter};
use self::errors::Failure;
use crate::config::SecretUrl;
use crate::domain::worker_id::WorkerId;
use crate::event::Observers;
use crate::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Renewal, Renewed, StoreError, Verdict,
};

mod address;
mod audit;
mod begin;
mod bisect;
mod conclude;
mod connect;
mod connection;
mod dead_letters;
mod errors;
mod horizon;
mod intake;
mod negotiation;
mod reconciliation;
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
    /// The URL's parameters are libpq's, as far as `tokio-postgres` knows them, and `sslmode` means what it means there:
    /// without it, TLS is used where the server offers it, and one warning per process says that a certificate could not be
    /// verified. A password in clear text is never sent over a connection that is not encrypted, unless that is a Unix
    /// socket. A statement may take 30 s. `observers` learn of each new connection.
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

    /// Runs one statement; see [`Connections::query`].
    async fn query(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, StoreError> {
        self.explain(self.connections.query(statement, parameters).await).await
    }

    /// Turns a failure into an error of the store, which names the tables and columns that are missing.
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

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        dead_letters::insert(self, letters).await
    }
}

/// Reads a column; one that has another type than the given schema's is named in the error.
fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Failure> {
    row.try_get(name).map_err(|error| Failure::Refused(format!("column `{name}` has an unexpected type: {error}")))
}

/// What a transition's statement says of each order that has a row.
fn rows_by_order(rows: Vec<Row>) -> Result<HashMap<i64, Row>, Failure> {
    let mut rows_by_order = HashMap::with_capacity(rows.len());
    for row in rows {
        if column::<&str>(&row, "presence")? != "missing" {
            rows_by_order.insert(column(&row, "order_id")?, row);
        }
    }
    Ok(rows_by_order)
}

/// Whether the row of such an order was passed over, as another transaction has locked it.
fn is_locked(row: &Row) -> Result<bool, Failure> {
    Ok(column::<&str>(row, "presence")? == "locked")
}

/// A count from a `bigint` column.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

/// A number of attempts from an `integer` column.
fn attempts(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// A number for an `integer` column.
fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Postgres text can't hold NUL, and a text of ours is no reason to refuse a row.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}
