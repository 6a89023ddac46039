//! Checks of an embedded database.

use super::Finding;
use super::words::{bytes, percent};
use crate::port::diagnosis::embedded::EmbeddedFacts;

/// Every check.
pub(super) fn all(facts: &EmbeddedFacts) -> Vec<Finding> {
    vec![journal(facts), file_system(facts), free_pages(facts), disk(facts)]
}

/// In a log, a commit is one write to its end, and readers hold up nobody.
fn journal(facts: &EmbeddedFacts) -> Finding {
    const CHECK: &str = "journal_mode";
    const LARGE: u64 = 256 * 1_048_576;
    let log = bytes(facts.log_bytes as f64);
    if facts.journal_mode != "wal" {
        return Finding::warning(CHECK, format!("journal_mode is {}, and not wal", facts.journal_mode))
            .costs("readers and writers wait for each other, and each commit is written twice")
            .caution("the worker sets wal itself; a file system without shared memory, such as that of a network, refuses it");
    }
    if facts.log_bytes > LARGE {
        return Finding::notice(CHECK, format!("the log beside the file has {log}"))
            .costs("reads get slower, and it can't be cut while somebody reads without end")
            .caution("look for a process that keeps the file open, such as a forgotten sqlite3 in a transaction");
    }
    Finding::ok(CHECK, format!("journal_mode is wal, synced at each commit; the log has {log}"))
}

/// SQLite's locks don't work everywhere.
fn file_system(facts: &EmbeddedFacts) -> Finding {
    const CHECK: &str = "file_system";
    match &facts.doubtful_file_system {
        Ok(None) => Finding::ok(CHECK, "the file is on a local file system"),
        Ok(Some(name)) => Finding::warning(CHECK, format!("the file is on {name}"))
            .costs("locks of SQLite don't work there: two processes may damage the file")
            .caution(
                "move it to a local disk, with all processes that use it on that machine; or use Redis and Postgres",
            ),
        Err(why) => Finding::unknown(CHECK, why.clone()),
    }
}

/// What a VACUUM would give back.
fn free_pages(facts: &EmbeddedFacts) -> Finding {
    const CHECK: &str = "free_pages";
    const MUCH: u64 = 64 * 1_048_576;
    let share = percent(facts.free_bytes, facts.bytes);
    let found = format!("the file has {}, {share} % of it free", bytes(facts.bytes as f64));
    let finding = if facts.free_bytes >= MUCH && share >= 50 {
        Finding::notice(CHECK, found)
            .costs("disk alone: the free pages are used again")
            .remedy(format!("sqlite3 {} VACUUM   # with every worker stopped", facts.path.display()))
    } else {
        Finding::ok(CHECK, found)
    };
    finding.value("bytes", facts.bytes).value("free_bytes", facts.free_bytes)
}

/// Room for what comes.
fn disk(facts: &EmbeddedFacts) -> Finding {
    const CHECK: &str = "disk_space";
    const LITTLE: u64 = 256 * 1_048_576;
    match facts.disk_free {
        Err(ref why) => Finding::unknown(CHECK, why.clone()),
        Ok(free) if free < LITTLE => Finding::warning(CHECK, format!("{} are left on its disk", bytes(free as f64)))
            .costs("a full disk stops every commit; nothing is lost, and work goes on once there is room")
            .caution("make room, or move the file with every worker stopped"),
        Ok(free) => Finding::ok(CHECK, format!("{} are left on its disk", bytes(free as f64))),
    }
}
