//! One connection, and the statements that it keeps prepared.
//!
//! A statement that is used again and again is parsed and planned once in ten seconds instead of every time. The driver names
//! what it prepares s0, s1 and so on, in each process: behind a pooler such a name may be another client's statement. So this is
//! done only where the process that answers is the one that the server named when it let us in (ADR 20).

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Error, Row, Statement};

use super::greeting::NamedProcess;
use super::sql::{Parameter, Sql};
use super::writers::Lead;

/// How long a plan is used. One that suits a table may not suit it any more when it has grown.
const PLAN_AGE: Duration = Duration::from_secs(10);
/// From this size on the planner finds orders by their keys, and goes on doing so however the table grows. It scans a smaller one,
/// so such a plan is used only as long as the table stays smaller.
const ENOUGH_BYTES: i64 = 512 * 1024;
/// How long a small table is taken to be as small as it was. A scan can bear what comes in that time.
const SIZE_AGE: Duration = Duration::from_secs(1);
const FOOTING: &str = "SELECT pg_catalog.pg_backend_pid() AS process,
       coalesce(pg_catalog.pg_relation_size(pg_catalog.to_regclass($1), 'main'), 0) AS bytes";

const READS_ONLY: &str = "SELECT pg_catalog.current_setting('transaction_read_only') = 'on' AS reads_only";

/// A connection in the pool.
pub(super) struct Served {
    client: Client,
    task: JoinHandle<()>,
    named: NamedProcess,
    may_prepare: bool,
    lead: Lead,
    /// Each statement once, none older than [`PLAN_AGE`] when one is added.
    known: Vec<Known>,
}

/// A statement that this connection has run.
struct Known {
    statement: Sql,
    since: Instant,
    plan: Plan,
}

enum Plan {
    /// It was run once: not often enough.
    NotYet,
    /// Not for now: the server refuses it.
    Unfit,
    Kept(Prepared),
}

struct Prepared {
    statement: Statement,
    /// Of a table that was small.
    size: Option<AskedSize>,
}

/// The question for a table's size, as it may have grown.
struct AskedSize {
    question: Statement,
    asked: Instant,
}

impl Prepared {
    /// The statement, and beside it the question for the size if that is due.
    fn next_use(&mut self) -> (Statement, Option<Statement>) {
        let due = self.size.as_mut().filter(|size| size.asked.elapsed() >= SIZE_AGE);
        let question = due.map(|size| {
            size.asked = Instant::now();
            size.question.clone()
        });
        (self.statement.clone(), question)
    }
}

impl Served {
    /// A connection whose messages `task` carries, to a server that named this process.
    pub(super) fn new(client: Client, task: JoinHandle<()>, named: NamedProcess, lead: Lead) -> Self {
        Self { client, task, named, may_prepare: true, lead, known: Vec::new() }
    }

    /// Whether it leads to a server that takes no writes, or may do so and nobody asks. Costs a round trip where the server says so.
    pub(super) async fn leads_to_reader(&self) -> Result<bool, Error> {
        if !self.is_trusted() {
            return Ok(true);
        }
        if !self.lead.reports_reader() {
            return Ok(false);
        }
        let rows = self.client.query_typed(READS_ONLY, &[]).await?;
        rows.first().map_or(Ok(true), |row| row.try_get("reads_only"))
    }

    /// Holds it against every connection of the pool that was made before now.
    pub(super) fn refuses_writes(&self) {
        self.lead.refuses_writes();
    }

    /// Whether no connection of the pool was refused a write since this one was made.
    pub(super) fn is_trusted(&self) -> bool {
        self.lead.is_trusted()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// Runs statements without parameters.
    pub(super) async fn run(&self, statements: &str) -> Result<(), Error> {
        self.client.batch_execute(statements).await
    }

    /// Runs a statement in one round trip: it is parsed and planned now.
    pub(super) async fn query(&self, statement: &Sql, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        self.client.query_typed(statement.as_str(), parameters).await
    }

    /// The same for a statement that finds rows of `orders` by key, and is run often: prepared where that is safe. A plan for a
    /// small table is dropped once the table is found to have grown, which is asked in the round trip of a use.
    pub(super) async fn query_often(
        &mut self,
        statement: &Sql,
        parameters: &[Parameter<'_>],
        orders: &str,
    ) -> Result<Vec<Row>, Error> {
        let Some((prepared, question)) = self.plan_of(statement, parameters, orders).await? else {
            return self.query(statement, parameters).await;
        };
        let values: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|(value, _)| *value).collect();
        let (answer, is_small) = tokio::join!(self.client.query(&prepared, &values), self.is_small(question, orders));
        if !is_small {
            self.known.retain(|known| known.statement != *statement);
        }
        match answer {
            // Nothing was carried out.
            Err(error) if self.has_lost(&error) => {
                self.known.clear();
                self.query(statement, parameters).await
            }
            answer => answer,
        }
    }

    /// Whether the table is as small as it was, if that is a question.
    async fn is_small(&self, question: Option<Statement>, orders: &str) -> bool {
        let Some(question) = question else { return true };
        let row = self.client.query_one(&question, &[&orders]).await;
        row.and_then(|row| row.try_get::<_, i64>("bytes")).is_ok_and(|bytes| bytes < ENOUGH_BYTES)
    }

    /// Whether the server hasn't what was prepared, or can't use it since the tables were changed.
    fn has_lost(&mut self, error: &Error) -> bool {
        let has_code = |code| error.code() == Some(code);
        if has_code(&SqlState::INVALID_SQL_STATEMENT_NAME) {
            // Somebody between us and the server, or a trigger, throws away what is prepared.
            self.may_prepare = false;
        }
        !self.may_prepare || has_code(&SqlState::FEATURE_NOT_SUPPORTED)
    }

    async fn plan_of(
        &mut self,
        statement: &Sql,
        parameters: &[Parameter<'_>],
        orders: &str,
    ) -> Result<Option<(Statement, Option<Statement>)>, Error> {
        if !self.may_prepare {
            return Ok(None);
        }
        self.known.retain(|known| known.since.elapsed() < PLAN_AGE);
        let Some(at) = self.known.iter().position(|known| known.statement == *statement) else {
            self.known.push(Known { statement: statement.clone(), since: Instant::now(), plan: Plan::NotYet });
            return Ok(None);
        };
        if matches!(self.known.get(at), Some(Known { plan: Plan::NotYet, .. })) {
            let plan = match self.prepare(statement, parameters, orders).await {
                // What is wrong with the statement, it says when it is run.
                Err(error) if error.as_db_error().is_some() => Plan::Unfit,
                plan => plan?,
            };
            if let Some(known) = self.known.get_mut(at) {
                known.plan = plan;
            }
        }
        Ok(match self.known.get_mut(at) {
            Some(Known { plan: Plan::Kept(prepared), .. }) => Some(prepared.next_use()),
            _ => None,
        })
    }

    async fn prepare(&mut self, statement: &Sql, parameters: &[Parameter<'_>], orders: &str) -> Result<Plan, Error> {
        let rows = self.client.query_typed(FOOTING, &[(&orders, Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(Plan::Unfit) };
        self.may_prepare = self.named.is(row.try_get("process")?);
        if !self.may_prepare {
            return Ok(Plan::Unfit);
        }
        let types: Vec<Type> = parameters.iter().map(|(_, of)| of.clone()).collect();
        let statement = self.client.prepare_typed(statement.as_str(), &types).await?;
        let mut size = None;
        if row.try_get::<_, i64>("bytes")? < ENOUGH_BYTES {
            let question = self.client.prepare_typed(FOOTING, &[Type::TEXT]).await?;
            size = Some(AskedSize { question, asked: Instant::now() });
        }
        Ok(Plan::Kept(Prepared { statement, size }))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
