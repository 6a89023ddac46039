//! Connections to Postgres: a bounded pool, a limit on every wait, and the repeating of conflicts.

use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Hook, HookError, Object, Pool, QueueMode, Timeouts};
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row};

use super::address::{Address, Limits};
use super::connect::ServerConnect;
use super::errors::Failure;
use super::negotiation::MakeConnector;
use super::served::Served;
use super::sql::{Parameter, Sql};
use super::tls;
use crate::config::SecretUrl;
use crate::domain::retry::jittered;
use crate::domain::worker_id::WorkerId;
use crate::event::{Backend, DependencyEvent, Observers};
use crate::port::reports::ConnectionUse;
use crate::port::store::StoreError;

/// How long to wait for a free connection, and for the server to accept a new one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to try to tell the server that nobody waits for a statement any more.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection older than this is replaced: its buffers never shrink, and a new one follows a moved address.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// How often a statement is sent at most, when conflicts roll it back.
const CONFLICT_ATTEMPTS: u32 = 5;
/// Upper bound of the pause after the first conflict, doubled with each.
const CONFLICT_PAUSE: Duration = Duration::from_millis(10);
const BEGIN: Sql = Sql::bare("BEGIN");
const COMMIT: Sql = Sql::bare("COMMIT");
/// Without statistics, or with old ones, the planner takes the end of a key's range for a third of the table. What it then puts in
/// the way of a scan would have the statement compiled, too.
const BY_KEY: &str = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

/// The connections to one database.
pub(super) struct Connections {
    pool: Pool<ServerConnect>,
    connector: MakeConnector,
    /// Where to, without the password.
    target: String,
    observers: Observers,
}

impl Connections {
    /// Prepares at most `limit` connections; opens none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a URL that can't be understood.
    pub(super) fn new(
        url: &SecretUrl,
        worker: &WorkerId,
        limit: usize,
        observers: Observers,
    ) -> Result<Self, StoreError> {
        let address = Address::read(url, worker, &Limits { connect: CONNECT_TIMEOUT, statement: STATEMENT_TIMEOUT })?;
        let handshakes = if address.is_local() { None } else { tls::handshakes(&address.tls)? };
        let connector = MakeConnector::new(handshakes, address.tls.mode, address.direct, address.auth.clone());
        // One server after the other, so that one that is silent doesn't take the time of the next.
        let create = address.connect_timeout.saturating_mul(u32::try_from(address.servers.len()).unwrap_or(u32::MAX));
        let connect = ServerConnect::new(address, connector.clone());
        let pool = Pool::builder(connect)
            .max_size(limit.max(1))
            // The one that was used last has its plans and caches at hand.
            .queue_mode(QueueMode::Lifo)
            .timeouts(Timeouts { wait: Some(CONNECT_TIMEOUT), create: Some(create), recycle: Some(CONNECT_TIMEOUT) })
            .runtime(Runtime::Tokio1)
            .post_create({
                let observers = observers.clone();
                Hook::sync_fn(move |_, _| {
                    observers.emit(DependencyEvent::ConnectionOpened(Backend::Store));
                    Ok(())
                })
            })
            .pre_recycle(Hook::sync_fn(|_, metrics| {
                if metrics.age() < CONNECTION_AGE { Ok(()) } else { Err(HookError::message("old enough")) }
            }))
            .build()
            .map_err(|error| StoreError::Refused(format!("no connection pool: {error}")))?;
        Ok(Self { pool, connector, target: url.to_string(), observers })
    }

    /// Runs one statement in a transaction of its own, in one round trip, and repeats it after conflicts.
    ///
    /// It is parsed and planned now, which keeps the plan right while the table grows, and works behind a pooler that can't
    /// keep prepared statements.
    pub(super) async fn query(&self, statement: &Sql, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Failure> {
        let mut conflicts = Conflicts::new();
        loop {
            match self.session().await?.query(statement, parameters).await {
                Err(Failure::Conflict(_)) if conflicts.pause().await => {}
                Err(Failure::Taken(_)) => {
                    return self.session().await?.query(&statement.passing_over(), parameters).await;
                }
                answer => return answer,
            }
        }
    }

    /// As [`Connections::query`], and no table with a suitable index is read as a whole, whatever the planner knows of it.
    pub(super) async fn query_by_key(
        &self,
        statement: &Sql,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let mut conflicts = Conflicts::new();
        loop {
            match self.session().await?.query_by_key_within(STATEMENT_TIMEOUT, statement, parameters).await {
                Err(Failure::Conflict(_)) if conflicts.pause().await => {}
                answer => return answer,
            }
        }
    }

    /// Runs one statement once: one that is run often, on rows of these `orders` that are found by key.
    pub(super) async fn query_often(
        &self,
        statement: &Sql,
        parameters: &[Parameter<'_>],
        orders: &str,
    ) -> Result<Vec<Row>, Failure> {
        match self.session().await?.answer(STATEMENT_TIMEOUT, statement, parameters, Some(orders)).await {
            Err(Failure::Taken(_)) => self.session().await?.query(&statement.passing_over(), parameters).await,
            answer => answer,
        }
    }

    /// How they are used, now.
    pub(super) fn in_use(&self) -> ConnectionUse {
        let status = self.pool.status();
        let idle = status.available.min(status.size);
        ConnectionUse { idle: idle as u64, in_use: (status.size - idle) as u64, limit: status.max_size as u64 }
    }

    /// Takes a connection for more than one statement.
    pub(super) async fn session(&self) -> Result<Session, Failure> {
        let began = Instant::now();
        let connection = self.pool.get().await;
        self.observers.emit(DependencyEvent::ConnectionAwaited { took: began.elapsed() });
        match connection.map_err(Failure::from) {
            Ok(connection) => {
                Ok(Session { connection: Some(connection), connector: self.connector.clone(), idle: true })
            }
            Err(Failure::Unavailable(text)) => Err(Failure::Unavailable(format!("{}: {text}", self.target))),
            Err(Failure::Refused(text)) => Err(Failure::Refused(format!("{}: {text}", self.target))),
            Err(other) => Err(other),
        }
    }
}

/// Counts the conflicts of one call.
pub(super) struct Conflicts {
    left: u32,
    pause: Duration,
}

impl Conflicts {
    /// None so far.
    pub(super) fn new() -> Self {
        Self { left: CONFLICT_ATTEMPTS - 1, pause: CONFLICT_PAUSE }
    }

    /// Pauses before another try; `false` when there have been enough.
    pub(super) async fn pause(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        sleep(jittered(self.pause)).await;
        self.pause *= 2;
        true
    }
}

/// One connection in our hands. Goes back to the pool if nothing is under way on it, else it is closed: the server then
/// rolls back.
pub(super) struct Session {
    connection: Option<Object<ServerConnect>>,
    connector: MakeConnector,
    idle: bool,
}

impl Session {
    /// Runs one statement: in a transaction of its own, or in the one begun.
    pub(super) async fn query(&mut self, statement: &Sql, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Failure> {
        self.query_within(STATEMENT_TIMEOUT, statement, parameters).await
    }

    /// As [`Session::query`], and the server is told to stop after `limit`.
    pub(super) async fn query_within(
        &mut self,
        limit: Duration,
        statement: &Sql,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        self.answer(limit, statement, parameters, None).await
    }

    /// Runs one statement, which is one on rows of these `orders` that is run often, or none such.
    async fn answer(
        &mut self,
        limit: Duration,
        statement: &Sql,
        parameters: &[Parameter<'_>],
        orders: Option<&str>,
    ) -> Result<Vec<Row>, Failure> {
        let was_idle = std::mem::replace(&mut self.idle, false);
        let connection = self.connection.as_mut().ok_or_else(closed)?;
        let answer = async {
            match orders {
                Some(orders) => connection.query_often(statement, parameters, orders).await,
                None => connection.query(statement, parameters).await,
            }
        };
        let Ok(answer) = timeout(limit, answer).await else {
            return Err(self.give_up(limit).await);
        };
        let answer = answer.inspect_err(|error| self.notice(error)).map_err(Failure::from);
        // A server that is going down says so before it closes: such a connection must not reach the next caller. And a
        // standby is left for wherever the address leads by now.
        if !matches!(answer, Err(Failure::Unavailable(_))) {
            self.idle = was_idle;
        }
        answer
    }

    /// As [`Connections::query_by_key`], once, and the server is told to stop after `limit`.
    pub(super) async fn query_by_key_within(
        &mut self,
        limit: Duration,
        statement: &Sql,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        self.begin().await?;
        self.run(BY_KEY).await?;
        let rows = self.query_within(limit, statement, parameters).await?;
        self.commit().await?;
        Ok(rows)
    }

    /// Begins a transaction. Without [`Session::commit`] it is rolled back.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        self.idle = false;
        self.query(&BEGIN, &[]).await.map(drop)
    }

    /// Commits.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.query(&COMMIT, &[]).await?;
        self.idle = true;
        Ok(())
    }

    /// Runs statements without parameters, in the transaction begun.
    pub(super) async fn run(&mut self, statements: &str) -> Result<(), Failure> {
        let was_idle = std::mem::replace(&mut self.idle, false);
        let connection = self.connection()?;
        let Ok(answer) = timeout(STATEMENT_TIMEOUT, connection.run(statements)).await else {
            return Err(self.give_up(STATEMENT_TIMEOUT).await);
        };
        answer.inspect_err(|error| self.notice(error))?;
        self.idle = was_idle;
        Ok(())
    }

    /// A server that takes no writes any more is left at once, by those that are idle too.
    fn notice(&self, error: &Error) {
        if error.code() != Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
            return;
        }
        if let Some(connection) = &self.connection {
            connection.refuses_writes();
            if let Some(pool) = Object::pool(connection) {
                pool.retain(|other, _| other.is_trusted());
            }
        }
    }

    fn connection(&self) -> Result<&Served, Failure> {
        self.connection.as_deref().ok_or_else(closed)
    }

    /// Tells the server to stop, so that an abandoned statement doesn't keep its locks or wait for others.
    async fn give_up(&mut self, limit: Duration) -> Failure {
        if let Ok(connection) = self.connection() {
            // Best effort: a server that can't be told finds out by its own keepalives.
            let _ = timeout(CANCEL_TIMEOUT, connection.cancel_token().cancel_query(self.connector.clone())).await;
        }
        Failure::Unavailable(format!("no answer within {} s", limit.as_secs()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.idle
            && let Some(connection) = self.connection.take()
        {
            drop(Object::take(connection));
        }
    }
}

fn closed() -> Failure {
    Failure::Unavailable("connection closed".to_owned())
}
