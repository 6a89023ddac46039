//! How the store's server is set up: checkpoints, durability, connections, and how far it is.

use std::time::Duration;

use super::words::{bytes, grouped, identifier, latency, percent, since};
use super::writes::page_image_share;
use super::{Finding, Level};
use crate::port::diagnosis::postgres::PostgresFacts;

/// Whether checkpoints come because it is time, and how much WAL whole pages make.
pub(super) fn checkpoints(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "checkpoints";
    const ENOUGH: u64 = 20;
    // More often than by a checkpoint_timeout of 15 minutes.
    const OFTEN: f64 = 4.0;
    let counted = match &facts.checkpoints {
        Ok(counted) => counted,
        Err(why) => return Finding::unknown(CHECK, why.clone()),
    };
    let all = counted.timed + counted.requested;
    let images = page_image_share(facts);
    if all < ENOUGH {
        return Finding::unknown(CHECK, format!("{all} checkpoints {} are too few to judge by", since(counted.since)));
    }
    let requested = percent(counted.requested, all);
    let an_hour = counted.since.map(|seconds| counted.requested as f64 * 3_600.0 / seconds.max(1.0));
    let is_often = counted.requested >= ENOUGH && an_hour.is_none_or(|times| times >= OFTEN);
    let shown = |name| facts.setting(name).map_or("?", |setting| setting.shown.as_str());
    let said = images.as_ref().map(|(share, when)| format!("; whole pages make about {share} % of the WAL {when}"));
    let found = format!(
        "{requested} % of {} checkpoints {} were asked for, by the WAL's size or by somebody, and not by time{}{}",
        grouped(all),
        since(counted.since),
        an_hour.map(|times| format!(": {times:.1} an hour")).unwrap_or_default(),
        said.unwrap_or_default()
    );
    let share = images.map_or(0, |(share, _)| share);
    let finding = if requested >= 30 && is_often {
        let max_wal_size = facts.number("max_wal_size").unwrap_or(1_024.0) * 1_048_576.0;
        let finding = Finding::new(CHECK, if share >= 30 { Level::Warning } else { Level::Notice }, found)
            .costs("after each checkpoint the first change of a page writes the whole page to the WAL, 8 kB for a row of 100 bytes")
            .remedy(format!("ALTER SYSTEM SET max_wal_size = '{}';", as_setting(max_wal_size * 4.0)))
            .caution(format!(
                "max_wal_size is {}, and checkpoint_timeout {}: more of either takes disk, and a crash needs longer to recover. \
                 CREATE DATABASE, backups and CHECKPOINT by hand count as asked for, too",
                shown("max_wal_size"),
                shown("checkpoint_timeout")
            ));
        let finding = match facts.number("checkpoint_timeout") {
            Some(seconds) if seconds < 900.0 => finding.remedy("ALTER SYSTEM SET checkpoint_timeout = '15min';"),
            _ => finding,
        };
        let finding = match facts.setting("wal_compression") {
            Some(setting) if setting.raw == "off" => finding.remedy("ALTER SYSTEM SET wal_compression = on;"),
            _ => finding,
        };
        finding.remedy("SELECT pg_reload_conf();")
    } else {
        Finding::ok(CHECK, found)
    };
    let finding = an_hour.into_iter().fold(finding, |finding, times| finding.value("requested_an_hour", times));
    finding.value("timed", counted.timed).value("requested", counted.requested).value("page_image_percent", share)
}

fn as_setting(size: f64) -> String {
    bytes(size).replace([' ', ','], "").replace(".0", "")
}

/// Whether a commit that was answered survives.
pub(super) fn durability(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "durability";
    let raw = |name| facts.setting(name).map(|setting| setting.raw.as_str());
    if let Err(why) = &facts.settings {
        return Finding::unknown(CHECK, why.clone());
    }
    for name in ["fsync", "full_page_writes"] {
        if raw(name) == Some("off") {
            return Finding::warning(CHECK, format!("{name} is off"))
                .costs("after a crash of the machine the database may be damaged beyond repair, orders and timelines with it")
                .remedy(format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();"));
        }
    }
    let value = raw("synchronous_commit").unwrap_or("on");
    match value {
        "off" => Finding::warning(CHECK, "synchronous_commit is off for this role")
            .costs(
                "commits are faster, and a crash of the server loses those of its last moments: the row of an order that was \
                 fulfilled is back where it was, its message may be gone by then, the reconciler puts it back, and the fulfiller \
                 is called again with the same key",
            )
            .remedy(format!("ALTER ROLE {} SET synchronous_commit = on;", identifier(&facts.role.name)))
            .caution("a fulfiller that ignores the key does it twice"),
        "local" if raw("synchronous_standby_names").is_some_and(|names| !names.is_empty()) => {
            Finding::notice(CHECK, "synchronous_commit is local although there are synchronous standbys")
                .costs("a failover to a standby may lose commits that were answered, as with off")
                .remedy(format!("ALTER ROLE {} SET synchronous_commit = on;", identifier(&facts.role.name)))
        }
        _ => Finding::ok(CHECK, format!("a commit that was answered is on the disk (synchronous_commit {value}, fsync on)")),
    }
}

/// Whether there is room for as many connections as workers may open, which is as many batches as they commit at once.
pub(super) fn connections(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "connections";
    let (counted, most) = match (&facts.connections, facts.number("max_connections")) {
        (Ok(counted), Some(most)) => (counted, most),
        (Err(why), _) => return Finding::unknown(CHECK, why.clone()),
        (_, None) => return Finding::unknown(CHECK, "max_connections is not visible to this role"),
    };
    let reserved = ["reserved_connections", "superuser_reserved_connections"];
    let reserved: f64 = reserved.iter().filter_map(|name| facts.number(name)).sum();
    let role = facts.role.connection_limit.map_or(f64::INFINITY, f64::from);
    let limit = (most - reserved).min(role).max(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of connections")]
    let limit = limit as u64;
    // One is ours and goes with this command.
    let free = limit.saturating_sub(counted.used.saturating_sub(1));
    let workers = match counted.workers {
        0 => "no worker is connected".to_owned(),
        1 => format!("{} of them one worker's", counted.of_workers),
        workers => format!("{} of them {workers} workers'", counted.of_workers),
    };
    let found = format!(
        "{} of {limit} connections are taken, {workers}; a worker opens at most {} (--store-connections), a batch each",
        counted.used, counted.limit
    );
    let finding = if free < counted.limit {
        Finding::new(CHECK, if counted.workers == 0 { Level::Warning } else { Level::Notice }, found)
            .costs("a worker that gets no connection waits and is not ready, and one more worker may find none at all")
            .remedy("ALTER SYSTEM SET max_connections = 200; -- and restart the server")
            .caution(
                "or fewer for the worker by --store-connections: a batch is one transaction, and more of them at once than the \
                 server has cores gain little; or a pooler in transaction mode (docs/POSTGRES.md)",
            )
    } else {
        Finding::ok(CHECK, found)
    };
    finding.value("used", counted.used).value("limit", limit).value("workers", counted.workers)
}

/// How long an answer takes.
pub(super) fn latency_of(check: &'static str, took: Duration, where_to: &str) -> Finding {
    const FAR: Duration = Duration::from_millis(5);
    const VERY_FAR: Duration = Duration::from_millis(50);
    if took == Duration::MAX {
        return Finding::unknown(check, "no answer was measured");
    }
    let found = format!("{where_to} answers within {} at best", latency(took));
    let finding = if took < FAR {
        Finding::ok(check, found)
    } else {
        Finding::new(check, if took < VERY_FAR { Level::Notice } else { Level::Warning }, found)
            .costs("each batch waits for several answers one after the other, and a lone order for all of them")
            .caution("run workers in the servers' own zone; where that can't be, more --concurrency makes up for it in throughput, not in time")
    };
    finding.value("milliseconds", took.as_secs_f64() * 1_000.0)
}

/// How far Postgres is.
pub(super) fn store_latency(facts: &PostgresFacts) -> Finding {
    latency_of("store_latency", facts.round_trip, "Postgres")
}
