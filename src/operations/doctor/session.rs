//! What the server gives every session of the role, and transactions of a worker don't go well with.

use super::words::{identifier, time};
use super::{Finding, Level};
use crate::port::diagnosis::postgres::PostgresFacts;

/// A statement that may take no longer than this is cancelled in the ordinary course of things, in seconds: a wait for the disk,
/// or a look for open orders in a large table.
const SHORT: f64 = 5.0;

/// A worker with little to do asks less often than this, in seconds.
const IDLE: f64 = 60.0;

/// Settings of role or database that refuse or cancel what a worker does.
pub(super) fn settings(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "session_settings";
    if let Err(why) = &facts.settings {
        return Finding::unknown(CHECK, why.clone());
    }
    let raw = |name| facts.setting(name).map_or("", |setting| setting.raw.as_str());
    let seconds = |name| facts.number(name).map(|millis| millis / 1_000.0).filter(|seconds| *seconds > 0.0);
    let isolation = raw("default_transaction_isolation");
    let mut found = Vec::new();
    if raw("default_transaction_read_only") == "on" {
        let costs = "every write is refused: `run` waits, is not ready, and begins no order";
        found.push((
            Level::Warning,
            "default_transaction_read_only is on".to_owned(),
            costs,
            "default_transaction_read_only = off",
        ));
    }
    if matches!(isolation, "serializable" | "repeatable read") {
        let costs = "batches that meet a change of another transaction fail and are tried again, order by order";
        let set = "default_transaction_isolation = 'read committed'";
        found.push((Level::Notice, format!("default_transaction_isolation is {isolation}"), costs, set));
    }
    for (name, set) in
        [("statement_timeout", "statement_timeout = '30s'"), ("transaction_timeout", "transaction_timeout = '30s'")]
    {
        if let Some(seconds) = seconds(name).filter(|seconds| *seconds < SHORT) {
            let costs = "what takes longer is cancelled and tried again, and again, for as long as it takes longer";
            found.push((Level::Notice, format!("{name} is {}", time(seconds)), costs, set));
        }
    }
    if let Some(seconds) = seconds("idle_session_timeout").filter(|seconds| *seconds < IDLE) {
        let costs = "idle connections of the worker are cut, and what is asked next may fail and be tried again";
        let set = "idle_session_timeout = 0";
        found.push((Level::Notice, format!("idle_session_timeout is {}", time(seconds)), costs, set));
    }
    let Some(level) = found.iter().map(|(level, ..)| *level).min() else {
        return Finding::ok(CHECK, "sessions may write, and begin as a worker's transactions need them");
    };
    let (role, database) = (identifier(&facts.role.name), identifier(&facts.database));
    let words: Vec<&str> = found.iter().map(|(_, words, ..)| words.as_str()).collect();
    let mut costs: Vec<&str> = found.iter().map(|(_, _, costs, _)| *costs).collect();
    costs.dedup();
    // For this role in this database, which wins over the role's, the database's and the server's own; and in a transaction that
    // may write, as the session of whoever pastes it may be one that may not.
    found.iter().fold(
        Finding::new(CHECK, level, words.join("; ")).costs(costs.join("; ")).caution(
            "for new connections; somebody may have set it on purpose, such as to keep writers out for some maintenance, and \
             `options` of the database URL win over it",
        ),
        |finding, (_, _, _, set)| {
            finding.remedy(format!("BEGIN READ WRITE; ALTER ROLE {role} IN DATABASE {database} SET {set}; COMMIT;"))
        },
    )
}
