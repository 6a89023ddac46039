//! The file's tables, made and updated when it is opened.

use refinery_core::error::Kind;
use refinery_core::{Migration, Runner};
use rusqlite::{Connection, TransactionBehavior};

use super::error::Problem;

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

/// Two processes that make a file at the same time both find tables missing; the later one fails, and finds them
/// made when it looks again. Once is enough, unless there are three.
const TRIES: usize = 5;

/// The SQL of every table in the file, for people to read.
pub fn migration_sql() -> String {
    MIGRATIONS.map(|(name, sql)| format!("-- {name}\n{}\n", sql.trim_end())).join("\n")
}

/// Applies what is missing, and returns the names of what it applied.
pub(super) fn apply(connection: &mut Connection) -> Result<Vec<String>, Problem> {
    let migrations = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Problem::Other(error.to_string()))?;
    let runner = Runner::new(&migrations).set_grouped(true);
    // Reading is enough for a file that is up to date, and doesn't wait for a process that writes.
    if runner.get_applied_migrations(connection).is_ok_and(|applied| applied == migrations) {
        return Ok(Vec::new());
    }
    // A transaction that reads first and writes then is turned away at once if another one wrote in between.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    let mut tries = 1;
    loop {
        match runner.run(connection).map_err(|error| explain(&error)) {
            Ok(report) => return Ok(report.applied_migrations().iter().map(ToString::to_string).collect()),
            Err(problem) if tries == TRIES || matches!(problem, Problem::OtherVersion(_)) => return Err(problem),
            Err(_) => tries += 1,
        }
    }
}

fn explain(error: &refinery_core::Error) -> Problem {
    match error.kind() {
        Kind::MissingVersion(_) | Kind::DivergentVersion(..) => Problem::OtherVersion(error.to_string()),
        Kind::Connection(_, source) => {
            source.downcast_ref::<rusqlite::Error>().map_or_else(|| Problem::Other(error.to_string()), Problem::from)
        }
        _ => Problem::Other(error.to_string()),
    }
}
