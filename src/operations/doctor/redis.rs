//! Checks of Redis: what becomes of messages when memory runs out, the server restarts, or a disk fails.

use super::access::transport;
use super::server::latency_of;
use super::words::{bytes, grouped, percent};
use super::{Finding, Level};
use crate::port::diagnosis::redis::RedisFacts;

/// Why a lost message is no lost order.
const NOTHING_LOST: &str = "no order is lost by that: it stays in Postgres, and the reconciler puts its message back \
                            (--reconcile-grace), only later, with its attempts counted anew";

/// Every check.
pub(super) fn all(facts: &RedisFacts) -> Vec<Finding> {
    vec![
        eviction(facts),
        memory(facts),
        persistence(facts),
        fsync(facts),
        last_write(facts),
        user(facts),
        latency_of("queue_latency", facts.round_trip, &facts.name()),
        transport("queue_tls", "Redis", &facts.transport, "use rediss:// in the URL of --queue (docs/REDIS.md)"),
    ]
}

/// What Redis deletes when memory runs out.
fn eviction(facts: &RedisFacts) -> Finding {
    const CHECK: &str = "maxmemory_policy";
    let Some(policy) = facts.field("maxmemory_policy") else {
        return Finding::unknown(CHECK, "INFO doesn't tell maxmemory-policy to this user");
    };
    let evicted = facts.number("evicted_keys").unwrap_or(0);
    let found = format!("maxmemory-policy is {policy}; {} keys evicted since the server started", grouped(evicted));
    let finding = match policy {
        "noeviction" => Finding::ok(CHECK, found),
        volatile if volatile.starts_with("volatile-") => {
            Finding::ok(CHECK, format!("{found}: it deletes keys that expire alone, and the queue's never do"))
        }
        _ => Finding::warning(CHECK, found)
            .costs(format!("when memory runs out, Redis deletes the queue, all messages at once; {NOTHING_LOST}"))
            .remedy("redis-cli -u \"$REDIS_URL\" CONFIG SET maxmemory-policy noeviction")
            .remedy("redis-cli -u \"$REDIS_URL\" CONFIG REWRITE")
            .caution("a cache in the same Redis needs the other policy: give the queue a server of its own"),
    };
    finding.value("policy", policy).value("evicted_keys", evicted)
}

/// How much is left.
fn memory(facts: &RedisFacts) -> Finding {
    const CHECK: &str = "memory";
    let (Some(used), Some(most)) = (facts.number("used_memory"), facts.number("maxmemory")) else {
        return Finding::unknown(CHECK, "INFO doesn't tell the memory to this user");
    };
    let shown = bytes(used as f64);
    let finding = match percent(used, most) {
        _ if most == 0 => Finding::ok(CHECK, format!("{shown} used, without a limit (maxmemory 0)")),
        share if share < 80 => Finding::ok(CHECK, format!("{shown} used, {share} % of maxmemory")),
        share => Finding::warning(CHECK, format!("{shown} used, {share} % of maxmemory {}", bytes(most as f64)))
            .costs("when it is full, producers get OOM errors, and claims wait")
            .remedy(format!("redis-cli -u \"$REDIS_URL\" CONFIG SET maxmemory {}", most.saturating_mul(2)))
            .caution("see first what takes it: redis-cli -u \"$REDIS_URL\" --bigkeys"),
    };
    finding.value("used_bytes", used).value("maxmemory_bytes", most)
}

/// Whether messages survive a restart.
fn persistence(facts: &RedisFacts) -> Finding {
    const CHECK: &str = "persistence";
    let Some(is_appending) = facts.field("aof_enabled").map(|flag| flag == "1") else {
        return Finding::unknown(CHECK, "INFO doesn't tell of persistence to this user");
    };
    if is_appending {
        return Finding::ok(CHECK, "appendonly is on: messages survive a restart");
    }
    let (level, found, what) = match (facts.setting("save"), &facts.settings) {
        (Some(""), _) => (
            Level::Warning,
            "appendonly is off, and there are no snapshots".to_owned(),
            "a restart begins with an empty queue",
        ),
        (Some(save), _) => {
            let changes = facts.number("rdb_changes_since_last_save").unwrap_or(0);
            let changes = grouped(changes);
            let found = format!("appendonly is off; snapshots by `save {save}`, with {changes} changes since the last");
            (
                Level::Notice,
                found,
                "a restart goes back to the last snapshot: messages since are gone, settled ones come back",
            )
        }
        (None, why) => {
            let why = why.as_ref().err().map_or("CONFIG GET leaves it out", String::as_str);
            let found = format!("appendonly is off; whether there are snapshots can't be seen ({why})");
            (Level::Notice, found, "a restart goes back to the last snapshot, or begins with an empty queue")
        }
    };
    Finding::new(CHECK, level, found)
        .costs(format!("{what}; {NOTHING_LOST}"))
        .remedy("redis-cli -u \"$REDIS_URL\" CONFIG SET appendonly yes")
        .remedy("redis-cli -u \"$REDIS_URL\" CONFIG REWRITE")
        .caution("writes every change to the disk as well; with appendfsync everysec that costs little")
}

/// What an answer of Redis waits for.
fn fsync(facts: &RedisFacts) -> Finding {
    const CHECK: &str = "appendfsync";
    if facts.field("aof_enabled") == Some("0") {
        return Finding::ok(CHECK, "of no concern while appendonly is off");
    }
    match (facts.setting("appendfsync"), &facts.settings) {
        (Some("everysec"), _) => {
            Finding::ok(CHECK, "appendfsync is everysec: a crash loses a second of messages at worst")
        }
        (Some("always"), _) => Finding::notice(CHECK, "appendfsync is always")
            .costs(format!(
                "each claim and settlement waits for the disk, for messages that could be made again: {NOTHING_LOST}"
            ))
            .remedy("redis-cli -u \"$REDIS_URL\" CONFIG SET appendfsync everysec")
            .remedy("redis-cli -u \"$REDIS_URL\" CONFIG REWRITE"),
        (Some("no"), _) => Finding::notice(CHECK, "appendfsync is no")
            .costs(format!(
                "a crash of the machine loses what the kernel had not written, some 30 s of messages; {NOTHING_LOST}"
            ))
            .remedy("redis-cli -u \"$REDIS_URL\" CONFIG SET appendfsync everysec")
            .remedy("redis-cli -u \"$REDIS_URL\" CONFIG REWRITE"),
        (Some(other), _) => Finding::unknown(CHECK, format!("appendfsync is {other}")),
        (None, Err(why)) => Finding::unknown(CHECK, why.clone()),
        (None, Ok(_)) => Finding::unknown(CHECK, "CONFIG GET leaves it out"),
    }
}

/// Whether the disk takes what is written.
fn last_write(facts: &RedisFacts) -> Finding {
    const CHECK: &str = "disk";
    let fields = ["aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"];
    let known: Vec<(&str, &str)> = fields.iter().filter_map(|name| Some((*name, facts.field(name)?))).collect();
    let failed: Vec<&str> = known.iter().filter(|(_, status)| *status != "ok").map(|(name, _)| *name).collect();
    match failed[..] {
        _ if known.is_empty() => Finding::unknown(CHECK, "INFO doesn't tell of persistence to this user"),
        [] => Finding::ok(CHECK, "what was last written to the disk arrived there"),
        _ => Finding::warning(CHECK, format!("not ok: {}", failed.join(", ")))
            .costs("Redis refuses writes while that is so (MISCONF): producers get errors, and claims wait")
            .caution("look at the disk and at the server's log"),
    }
}

/// Whether the worker has a user of its own.
fn user(facts: &RedisFacts) -> Finding {
    const CHECK: &str = "queue_user";
    match &facts.user {
        Ok(name) if name == "default" => Finding::notice(CHECK, "the worker is the user `default`")
            .costs("a mistake, or whoever gets its password, can do all that this user may, FLUSHALL for instance")
            .remedy("make a user of its own with the line for redis-cli that docs/REDIS.md has, and name it in the URL of the queue"),
        Ok(name) => Finding::ok(CHECK, format!("the worker has a user of its own, {name}")),
        // A user that may not even ask is one that somebody has made with care.
        Err(why) => Finding::ok(CHECK, format!("the worker's user may not ask who it is ({why})")),
    }
}
