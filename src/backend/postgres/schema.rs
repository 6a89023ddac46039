//! The worker's own tables: making them, and finding out what is missing.

use async_trait::async_trait;
use refinery::{Migration, Runner};

use super::connection::Connections;
use super::errors::Failure;
use super::{PostgresStore, column};
use crate::port::schema::Schema;
use crate::port::store::StoreError;

/// Every migration, in order. One that was released is never changed: its checksum is in the history.
const MIGRATIONS: [(&str, &str); 3] = [
    ("V1__events_and_dead_letters", include_str!("migrations/V1__events_and_dead_letters.sql")),
    ("V2__resolved_dead_letters", include_str!("migrations/V2__resolved_dead_letters.sql")),
    ("V3__leadership", include_str!("migrations/V3__leadership.sql")),
];

/// Where refinery notes what it has applied.
const HISTORY: &str = "fulfillment.schema_history";

/// Names the lock that workers take in turn to migrate: "fulfillm" in ASCII.
const MIGRATION_LOCK: i64 = 0x6675_6c66_696c_6c6d;

/// The SQL that makes the worker's own tables, for `psql`. Harmless where they exist already.
pub fn migration_sql() -> String {
    MIGRATIONS.iter().map(|(name, sql)| format!("-- {name}\n{sql}\n")).collect()
}

#[async_trait]
impl Schema for PostgresStore {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.explain(migrate(&self.connections).await).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        check(&self.connections).await
    }
}

async fn migrate(connections: &Connections) -> Result<Vec<String>, Failure> {
    let migrations = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::Refused(format!("migrations are faulty: {error}")))?;
    let mut session = connections.session().await?;
    session
        .lend(async |client| {
            // Before the lock: a worker that stands still while it has it must hold up nobody whose tables are there.
            if nothing_to_do(client, &migrations).await? {
                return Ok(Vec::new());
            }
            // Ends with the connection at the latest, which is closed after use.
            client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(Failure::from)?;
            if nothing_to_do(client, &migrations).await? {
                return Ok(Vec::new());
            }
            // Not `CREATE SCHEMA IF NOT EXISTS` alone: that needs the right to create even where the schema exists.
            let known = client.query_opt("SELECT FROM pg_namespace WHERE nspname = 'fulfillment'", &[]).await?;
            if known.is_none() {
                client.batch_execute("CREATE SCHEMA IF NOT EXISTS fulfillment").await?;
            }
            let mut runner = Runner::new(&migrations);
            runner.set_migration_table_name(HISTORY);
            let report = runner.run_async(client).await.map_err(migration_failure)?;
            client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await?;
            Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
        })
        .await
        .map_err(with_way_out)
}

/// Whether the history says that every migration was applied. Lets a role without the right to create tables through,
/// which refinery would stop at its own `CREATE TABLE IF NOT EXISTS`.
async fn nothing_to_do(client: &tokio_postgres::Client, migrations: &[Migration]) -> Result<bool, Failure> {
    let readable = client
        .query_opt(
            "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname || '.' || c.relname = $1
               AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')",
            &[&HISTORY],
        )
        .await?;
    if readable.is_none() {
        return Ok(false);
    }
    let applied = client.query(&format!("SELECT name, checksum FROM {HISTORY}"), &[]).await?;
    Ok(migrations.iter().all(|migration| {
        applied.iter().any(|row| {
            row.try_get::<_, &str>("name").is_ok_and(|name| name == migration.name())
                && row.try_get::<_, &str>("checksum").is_ok_and(|sum| sum == migration.checksum().to_string())
        })
    }))
}

/// Finds the database's own error in refinery's.
fn migration_failure(error: refinery::Error) -> Failure {
    let text = error.to_string();
    match error.kind() {
        refinery::error::Kind::Connection(_, cause) => match cause.downcast_ref::<tokio_postgres::Error>() {
            Some(cause) => Failure::of(cause),
            None => Failure::Unavailable(text),
        },
        refinery::error::Kind::DivergentVersion(..) | refinery::error::Kind::MissingVersion(..) => Failure::Refused(
            format!("{text}: the tables in schema fulfillment were made by another version of this program"),
        ),
        _ => Failure::Refused(text),
    }
}

/// A role that may not create tables is told what else it can do.
fn with_way_out(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(text) => Failure::Refused(format!(
            "{text}; to migrate without these rights, have an administrator apply the SQL of `fulfillment-worker \
             migrate --print`, and run with `--migrate off`"
        )),
        other => other,
    }
}

/// Names what is missing.
pub(super) async fn check(connections: &Connections) -> Result<(), StoreError> {
    let rows = connections.query(include_str!("check.sql"), &[]).await?;
    let missing = rows.iter().map(|row| column(row, "missing")).collect::<Result<Vec<String>, Failure>>()?;
    if missing.is_empty() { Ok(()) } else { Err(StoreError::Schema(missing)) }
}
