//! The file's tables, made and updated when it is opened.

use jiff::Timestamp;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::error::Problem;
use crate::backend::migration::{self, Applied, Migration};

/// Name and SQL, in order. One that was released is never changed: a new one follows it.
const MIGRATIONS: [(&str, &str); 15] = [
    ("V1__orders", include_str!("migrations/V1__orders.sql")),
    ("V2__timeline_and_dead_letters", include_str!("migrations/V2__timeline_and_dead_letters.sql")),
    ("V3__queue", include_str!("migrations/V3__queue.sql")),
    ("V4__resolved_dead_letters", include_str!("migrations/V4__resolved_dead_letters.sql")),
    ("V5__reconciler", include_str!("migrations/V5__reconciler.sql")),
    ("V6__observed_fences", include_str!("migrations/V6__observed_fences.sql")),
    ("V7__submissions", include_str!("migrations/V7__submissions.sql")),
    ("V8__horizon", include_str!("migrations/V8__horizon.sql")),
    ("V9__retention", include_str!("migrations/V9__retention.sql")),
    ("V10__controls", include_str!("migrations/V10__controls.sql")),
    ("V11__holds", include_str!("migrations/V11__holds.sql")),
    ("V12__lists", include_str!("migrations/V12__lists.sql")),
    ("V13__jobs", include_str!("migrations/V13__jobs.sql")),
    ("V14__requests", include_str!("migrations/V14__requests.sql")),
    ("V15__trends", include_str!("migrations/V15__trends.sql")),
];

const CREATE_HISTORY: &str = "CREATE TABLE IF NOT EXISTS refinery_schema_history (
    version int4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255))";

const HISTORY: &str = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";

const NOTE_APPLIED: &str =
    "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (?1, ?2, ?3, ?4)";

/// The SQL of every table in the file, for people to read.
pub fn migration_sql() -> String {
    MIGRATIONS.map(|(name, sql)| format!("-- {name}\n{}\n", sql.trim_end())).join("\n")
}

/// Applies what is missing in one transaction, and returns the names of what it applied.
pub(super) fn apply(connection: &mut Connection) -> Result<Vec<String>, Problem> {
    let known = migration::parse(&MIGRATIONS).map_err(Problem::Other)?;
    // Reading is enough for a file that is up to date, and doesn't wait for a process that writes.
    if let Ok(applied) = applied(connection)
        && missing(&known, &applied)?.is_empty()
    {
        return Ok(Vec::new());
    }
    apply_missing(connection, &known).map_err(|error| Problem::from(&error))?
}

/// The history is read again under the lock: another process may have made the tables since.
fn apply_missing(connection: &mut Connection, known: &[Migration]) -> rusqlite::Result<Result<Vec<String>, Problem>> {
    // A transaction that reads first and writes then is turned away at once if another one wrote in between.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(CREATE_HISTORY)?;
    let missing = match missing(known, &applied(&transaction)?) {
        Ok(missing) => missing,
        Err(problem) => return Ok(Err(problem)),
    };
    for one in &missing {
        transaction.execute_batch(one.sql)?;
        transaction
            .execute(NOTE_APPLIED, params![one.version, one.name, Timestamp::now().to_string(), one.checksum()])?;
    }
    transaction.commit()?;
    Ok(Ok(missing.iter().map(ToString::to_string).collect()))
}

/// The history, in order.
fn applied(connection: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let read = |row: &Row<'_>| Ok(Applied { version: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? });
    connection.prepare(HISTORY)?.query_map([], read)?.collect()
}

/// Tables of a version to come are no reason to stop, as in Postgres: a migration only adds.
fn missing<'a>(known: &'a [Migration], applied: &[Applied]) -> Result<Vec<&'a Migration>, Problem> {
    migration::missing(known, applied).map_err(Problem::OtherVersion)
}
