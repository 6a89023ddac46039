//! Orders in Postgres, in the order API's own tables.
//!
//! Every transition is one statement over arrays: it waits for a moment for rows that others have locked, or passes them over,
//! repeats state and fence in the `WHERE` of the row it writes, and writes timeline and dead letters along. The SQL is in files
//! of its own beside this one; each says what it guarantees.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::row::RowIndex;
use tokio_postgres::types::FromSql;

use self::answers::{Answers, BEHIND, STUCK};
use self::clock_notes::ClockNotes;
use self::connection::Connections;
use self::errors::Failure;
use self::given_tables::{Dialect, GivenTables};
use self::producers::Producers;
use self::sql::{Parameter, Sql};
use self::statements::Statements;
use self::timestamp::seconds;
use self::transition::LockedRows;
use crate::config::SecretUrl;
use crate::domain::order::OrderId;
use crate::domain::worker_id::WorkerId;
use crate::event::{DependencyEvent, Observers};
use crate::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, NotBefore, OrderStore, Renewal, Renewed, StoreError, Verdict,
};

mod activity;
mod address;
mod answers;
mod audit;
mod begin;
mod bisect;
mod clock_notes;
mod conclude;
mod connect;
mod connection;
mod controls;
mod dead_letters;
mod decisions;
mod diagnosis;
mod errors;
mod feed;
mod given_tables;
mod greeting;
mod horizon;
mod intake;
mod jobs;
mod negotiation;
mod parameters;
mod producers;
mod reconciliation;
mod refusal;
mod reports;
mod retention;
mod schema;
mod search;
mod served;
mod sql;
mod statements;
mod timestamp;
mod tls;
mod transition;
mod trends;
mod watched;
mod writers;

pub use schema::{grant_sql, migration_sql};
#[cfg(feature = "internals")]
pub use statements::{for_given_schema, waiting_for_given_schema, without_status_index};

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
    observers: Observers,
    /// Written when they are first needed, and anew when the tables have changed.
    statements: Mutex<Option<Arc<Statements>>>,
    /// Whether the worker's own tables are free of what belongs to others, as last looked.
    is_ours_alone: AtomicBool,
    clock_notes: ClockNotes,
    locked_rows: LockedRows,
    /// Whether `created_at` was written by other clocks, as last looked.
    ages_in_doubt: AtomicBool,
    producers: Producers,
}

impl PostgresStore {
    /// Prepares a store; connects when it is first used, and again whenever a connection was lost.
    ///
    /// The URL's parameters are libpq's, as far as `tokio-postgres` knows them, and `sslmode` means what it means there:
    /// without it, TLS is used where the server offers it, and one warning per process says that a certificate could not be
    /// verified. A password in clear text is never sent over a connection that is not encrypted, unless that is a Unix
    /// socket, or `require_auth` names `password`. The files of `sslrootcert`, `sslcert` and `sslkey` are read again for each
    /// connection. A statement may take 30 s. `observers` learn of each new connection.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the URL can't be understood, or a file that it names can't be used. A server that is down is no error here.
    pub fn connect(url: &SecretUrl, options: PostgresStoreOptions, observers: Observers) -> Result<Self, StoreError> {
        Ok(Self {
            connections: Connections::new(url, &options.worker, options.connections, observers.clone())?,
            worker: options.worker,
            lease: options.lease,
            events: options.events,
            observers,
            statements: Mutex::default(),
            is_ours_alone: AtomicBool::new(false),
            clock_notes: ClockNotes::default(),
            locked_rows: LockedRows::default(),
            ages_in_doubt: AtomicBool::new(false),
            producers: Producers::default(),
        })
    }

    /// Runs one statement; see [`Connections::query`].
    async fn query(&self, statement: &Sql, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, StoreError> {
        self.explain(self.connections.query(statement, parameters).await).await
    }

    /// Runs a statement that finds open orders, by whatever leads to them.
    async fn query_open(
        &self,
        statements: &Statements,
        statement: &Sql,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        if statements.dialect.open_by_index {
            return self.query(statement, parameters).await;
        }
        self.explain(self.connections.query_by_key(statement, parameters).await).await
    }

    /// The statements, as the tables want them.
    async fn statements(&self) -> Result<Arc<Statements>, Failure> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(known) if self.is_ours_alone.load(Ordering::Relaxed) => Ok(known),
            _ => {
                self.refuse_strangers().await?;
                Ok(self.write_statements_for(self.given_tables().await?.dialect()))
            }
        }
    }

    /// The same, for calls that name what is missing by themselves.
    async fn ready_statements(&self) -> Result<Arc<Statements>, StoreError> {
        Ok(self.statements().await?)
    }

    /// Makes sure that no statement reaches what somebody else has put into schema `fulfillment`. From a failure on none is written,
    /// until this finds nothing.
    async fn refuse_strangers(&self) -> Result<(), Failure> {
        let looked = schema::refuse_strangers(&mut self.connections.session().await?, schema::Right::Work).await;
        if matches!(looked, Ok(()) | Err(Failure::Refused(_))) {
            self.is_ours_alone.store(looked.is_ok(), Ordering::Relaxed);
        }
        looked
    }

    /// The order API's tables: those that the statements are written for, if there are any.
    async fn given_tables(&self) -> Result<GivenTables, Failure> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names = known.map(|known| known.dialect.tables.clone()).unwrap_or_default();
        GivenTables::read(&self.connections, &names).await
    }

    fn write_statements_for(&self, dialect: Dialect) -> Arc<Statements> {
        let mut known = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(known) if known.dialect == dialect => known.clone(),
            _ => known.insert(Arc::new(Statements::new(dialect))).clone(),
        }
    }

    /// An order's age in this column, where it can be told.
    fn age(&self, row: &Row, at: usize) -> Result<Option<Duration>, Failure> {
        if self.ages_in_doubt.load(Ordering::Relaxed) { Ok(None) } else { seconds(row, at) }
    }

    /// Tells of fences that were written and are not above the ones before.
    fn notice_stuck_fences(&self, answers: &Answers) -> Result<(), Failure> {
        let mut order_ids = Vec::new();
        for answer in answers.all() {
            if column::<Option<bool>>(&answer.row, STUCK)? == Some(true) {
                order_ids.push(OrderId(answer.order_id));
            }
        }
        if !order_ids.is_empty() {
            self.observers.emit(DependencyEvent::FencesStuck { order_ids: &order_ids });
        }
        Ok(())
    }

    /// Does so, and notes fences that came back behind the clock, unless the statement that wrote them did.
    async fn notice_fences(&self, answers: &Answers, noted: bool) -> Result<(), Failure> {
        self.notice_stuck_fences(answers)?;
        let (mut wrote, mut behind) = (false, false);
        for answer in answers.all() {
            let found = column::<Option<bool>>(&answer.row, BEHIND)?;
            wrote |= found.is_some();
            behind |= found == Some(true);
        }
        if behind && !noted && self.clock_notes.lacks_behind() {
            let statements = self.statements().await?;
            if let Err(failure) = self.connections.query(&statements.note_behind, &[]).await {
                tracing::warn!(
                    ?failure,
                    "that fences come back behind the clock could not be noted; the next batch does it"
                );
                return Ok(());
            }
        } else if !(wrote && noted) {
            return Ok(());
        }
        self.clock_notes.made(behind);
        Ok(())
    }

    /// Turns a failure into an error of the store, which names the tables and columns that are missing.
    async fn explain<T>(&self, answer: Result<T, Failure>) -> Result<T, StoreError> {
        match answer {
            Ok(value) => Ok(value),
            Err(failure @ Failure::Missing(_)) => {
                schema::check(self).await?;
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

    async fn note_not_before(&self, times: &[NotBefore]) -> Result<(), StoreError> {
        self.explain(decisions::note_not_before(self, times).await).await
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
fn column<'a, T: FromSql<'a>>(row: &'a Row, at: impl RowIndex + Display) -> Result<T, Failure> {
    row.try_get(&at).map_err(|error| {
        let name = at.to_string();
        let placed = name.parse().ok().and_then(|place: usize| row.columns().get(place));
        let name = placed.map_or(name.as_str(), |column| column.name());
        Failure::Refused(format!("column `{name}` has an unexpected type: {error}"))
    })
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
