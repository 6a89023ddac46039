//! Dead rows: who keeps them, how many there are, and whether they are removed in time.

use super::words::{bytes, grouped, identifier, names, percent, quoted, time};
use super::{Finding, Level};
use crate::port::diagnosis::postgres::{Holder, HolderKind, PostgresFacts, Table};

/// A transaction of this age is noticed, and one of that age a warning.
const NOTICED: f64 = 30.0;
const LONG: f64 = 300.0;

/// The same of one whose time this role may not see, in transactions that have begun since.
const MANY_BEHIND: u64 = 100_000;

/// What any of them costs.
const HELD: &str = "every old version of a row that it might still see stays: no vacuum and no HOT update can use its place, so \
                    orders, their indexes and fulfillment.events grow and each update gets slower";

fn holders(facts: &PostgresFacts, kind: HolderKind) -> Result<impl Iterator<Item = &Holder>, String> {
    let all = facts.holders.as_ref().map_err(Clone::clone)?;
    Ok(all.iter().filter(move |holder| holder.kind == kind))
}

fn level(holder: &Holder) -> Level {
    let behind = holder.behind.unwrap_or(0);
    match holder.since {
        Some(since) if since >= LONG => Level::Warning,
        Some(since) if since >= NOTICED => Level::Notice,
        None if behind >= MANY_BEHIND => Level::Warning,
        _ => Level::Ok,
    }
}

/// Sessions whose transaction has been open for long, idle ones above all.
pub(super) fn transactions(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "transactions";
    let sessions: Vec<&Holder> = match holders(facts, HolderKind::Session) {
        Ok(sessions) => sessions.collect(),
        Err(why) => return Finding::unknown(CHECK, why),
    };
    let worst = sessions.iter().map(|holder| level(holder)).min().unwrap_or(Level::Ok);
    if worst == Level::Ok {
        let hidden = sessions.iter().filter(|holder| holder.since.is_none() && holder.state.is_none()).count();
        if hidden > 0 {
            let all = sessions.len();
            let why = format!("since when {hidden} of {all} transactions are open is not visible to this role");
            return ways_to_see(facts).into_iter().fold(Finding::unknown(CHECK, why), Finding::remedy);
        }
        let oldest = sessions.iter().filter_map(|holder| holder.since).reduce(f64::max);
        let oldest =
            oldest.map_or_else(|| "none is open".to_owned(), |since| format!("the oldest is open for {}", time(since)));
        return Finding::ok(CHECK, format!("of the other transactions in this database {oldest}"));
    }
    let long: Vec<&Holder> = sessions.into_iter().filter(|holder| level(holder) < Level::Ok).collect();
    let found: Vec<String> = long.iter().map(|holder| session(holder)).collect();
    let finding = Finding::new(CHECK, worst, format!("open for long: {}", found.join("; ")))
        .costs(HELD)
        .value("pids", long.iter().map(|holder| holder.name.clone()).collect::<Vec<_>>())
        .value("transactions_behind", long.iter().filter_map(|holder| holder.behind).max())
        .value("oldest_seconds", long.iter().filter_map(|holder| holder.since).reduce(f64::max))
        .caution("ends what the session is doing, which rolls back: ask its owner first. The setting ends those that come after");
    let finding = long
        .iter()
        .fold(finding, |finding, holder| finding.remedy(format!("SELECT pg_terminate_backend({});", holder.name)));
    match facts.number("idle_in_transaction_session_timeout") {
        Some(0.0)
            if long.iter().any(|holder| holder.state.as_deref().is_none_or(|state| state.starts_with("idle"))) =>
        {
            finding.remedy("ALTER SYSTEM SET idle_in_transaction_session_timeout = '5min'; SELECT pg_reload_conf();")
        }
        _ => finding,
    }
}

/// How this role would see others' sessions. The shipped roles inherit nothing by themselves.
fn ways_to_see(facts: &PostgresFacts) -> Vec<String> {
    let role = identifier(&facts.role.name);
    if facts.version >= 160_000 {
        return vec![format!("GRANT pg_read_all_stats TO {role} WITH INHERIT TRUE;")];
    }
    let inherit = (!facts.role.inherits).then(|| format!("ALTER ROLE {role} INHERIT;"));
    [format!("GRANT pg_read_all_stats TO {role};")].into_iter().chain(inherit).collect()
}

fn session(holder: &Holder) -> String {
    let who = holder.role.as_deref().unwrap_or("an unknown role");
    let application = holder.application.as_deref().filter(|name| !name.is_empty()).unwrap_or("without a name");
    let state = holder.state.as_deref().unwrap_or("in a state not visible to this role");
    let since = match (holder.since, holder.behind) {
        (Some(since), _) => time(since),
        (None, Some(behind)) => format!("{} transactions", grouped(behind)),
        (None, None) => "an unknown time".to_owned(),
    };
    format!("pid {} of {who} ({application}), {state}, for {since}", holder.name)
}

/// Slots that nobody reads from, or whose reader is far behind.
pub(super) fn replication_slots(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "replication_slots";
    const MUCH_WAL: f64 = 10.0 * 1_073_741_824.0;
    let slots: Vec<&Holder> = match holders(facts, HolderKind::Slot) {
        Ok(slots) => slots.collect(),
        Err(why) => return Finding::unknown(CHECK, why),
    };
    let is_idle = |slot: &&Holder| slot.state.as_deref() == Some("inactive");
    let is_behind = |slot: &&Holder| {
        slot.behind.is_some_and(|behind| behind >= MANY_BEHIND) || slot.wal_bytes.is_some_and(|kept| kept >= MUCH_WAL)
    };
    let bad: Vec<&Holder> = slots.iter().copied().filter(|slot| is_idle(slot) || is_behind(slot)).collect();
    if bad.is_empty() {
        return Finding::ok(CHECK, format!("{} replication slots, none of them inactive or far behind", slots.len()));
    }
    let found: Vec<String> = bad
        .iter()
        .map(|slot| {
            let state = slot.state.as_deref().unwrap_or_default();
            let behind =
                slot.behind.map(|behind| format!(", {} transactions behind", grouped(behind))).unwrap_or_default();
            let kept = slot.wal_bytes.map(|kept| format!(", {} of WAL kept", bytes(kept))).unwrap_or_default();
            format!("slot {} is {state}{behind}{kept}", slot.name)
        })
        .collect();
    let finding = Finding::warning(CHECK, found.join("; "))
        .costs(format!(
            "WAL is kept until the disk is full, which stops every commit; and where it holds a transaction, {HELD}"
        ))
        .caution(
            "start its reader again if it has one: whoever comes back to a slot that was dropped has to begin anew",
        )
        .value("slots", bad.iter().map(|slot| slot.name.clone()).collect::<Vec<_>>());
    bad.iter().filter(|slot| is_idle(slot)).fold(finding, |finding, slot| {
        finding.remedy(format!("SELECT pg_drop_replication_slot({});", quoted(&slot.name)))
    })
}

/// Prepared transactions that nobody ended.
pub(super) fn prepared_transactions(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "prepared_transactions";
    let prepared: Vec<&Holder> = match holders(facts, HolderKind::Prepared) {
        Ok(prepared) => prepared.collect(),
        Err(why) => return Finding::unknown(CHECK, why),
    };
    let left: Vec<&Holder> = prepared.iter().copied().filter(|holder| level(holder) < Level::Ok).collect();
    if left.is_empty() {
        return Finding::ok(CHECK, format!("{} prepared transactions, none of them left behind", prepared.len()));
    }
    let found: Vec<String> = left
        .iter()
        .map(|one| {
            let owner = one.role.as_deref().unwrap_or("an unknown role");
            format!("{} of {owner}, prepared {} ago", one.name, time(one.since.unwrap_or_default()))
        })
        .collect();
    let worst = left.iter().map(|holder| level(holder)).min().unwrap_or(Level::Notice);
    let finding = Finding::new(CHECK, worst, found.join("; "))
        .costs(format!("it keeps its locks, also over a restart; {HELD}"))
        .caution("its transaction manager knows whether to commit or to roll back");
    left.iter().fold(finding, |finding, one| finding.remedy(format!("ROLLBACK PREPARED {};", quoted(&one.name))))
}

/// Dead rows against living ones.
pub(super) fn dead_rows(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "dead_rows";
    const MANY: u64 = 10_000;
    let tables = match &facts.tables {
        Ok(tables) => tables,
        Err(why) => return Finding::unknown(CHECK, why.clone()),
    };
    let share = |table: &Table| percent(table.dead, table.live.saturating_add(table.dead));
    let bad: Vec<&Table> = tables.iter().filter(|table| table.dead >= MANY && share(table) >= 20).collect();
    let dead: u64 = tables.iter().map(|table| table.dead).sum();
    if bad.is_empty() {
        return Finding::ok(CHECK, format!("{} dead rows in {} tables", grouped(dead), tables.len()))
            .value("dead", dead);
    }
    let found: Vec<String> = bad
        .iter()
        .take(5)
        .map(|table| {
            let vacuumed =
                table.vacuumed.map_or_else(|| "never vacuumed".to_owned(), |ago| format!("vacuumed {} ago", time(ago)));
            format!("{}: {} dead rows, {} % of all, {vacuumed}", table.name, grouped(table.dead), share(table))
        })
        .collect();
    let level = if bad.iter().any(|table| share(table) >= 50) { Level::Warning } else { Level::Notice };
    let finding = Finding::new(CHECK, level, found.join("; "))
        .costs("reads pass over them, new versions find no place in their own page, and the table grows")
        .caution(
            "useless while something keeps them: see transactions, replication_slots and prepared_transactions first",
        )
        .value("dead", dead);
    bad.iter().take(5).fold(finding, |finding, table| finding.remedy(format!("VACUUM (ANALYZE) {};", table.name)))
}

/// Whether it runs, and before there is much to do.
pub(super) fn autovacuum(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "autovacuum";
    const LATE: f64 = 100_000.0;
    let (tables, settings) = match (&facts.tables, &facts.settings) {
        (Ok(tables), Ok(_)) => (tables, facts.setting("autovacuum")),
        (Err(why), _) | (_, Err(why)) => return Finding::unknown(CHECK, why.clone()),
    };
    if settings.is_some_and(|setting| setting.raw == "off") {
        return Finding::warning(CHECK, "autovacuum is off for the whole server")
            .costs("dead rows are never removed, and one day the server stops to protect itself from a wraparound")
            .remedy("ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();");
    }
    let off: Vec<&Table> =
        tables.iter().filter(|table| table.options.get("autovacuum_enabled").is_some_and(|set| is_off(set))).collect();
    if !off.is_empty() {
        let finding = Finding::warning(
            CHECK,
            format!("autovacuum is off for {}", names(off.iter().map(|table| table.name.as_str()))),
        )
        .costs("dead rows are removed by nobody unless somebody runs VACUUM");
        return off.iter().take(5).fold(finding, |finding, table| {
            finding.remedy(format!("ALTER TABLE {} RESET (autovacuum_enabled);", table.name))
        });
    }
    let late: Vec<(&Table, f64)> = tables
        .iter()
        .filter(|table| table.updates > 0)
        .map(|table| (table, begins_at(facts, table)))
        .filter(|(_, at)| *at > LATE)
        .collect();
    if late.is_empty() {
        return Finding::ok(CHECK, "autovacuum is on, and begins before a table has 100,000 dead rows");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
    let found: Vec<String> =
        late.iter().take(5).map(|(table, at)| format!("{} with {}", table.name, grouped(*at as u64))).collect();
    let finding = Finding::notice(CHECK, format!("it begins with so many dead rows: {}", found.join(", ")))
        .costs("one long run that reads much, instead of short ones that hold the place for new versions free");
    late.iter().take(5).fold(finding, |finding, (table, _)| {
        finding.remedy(format!(
            "ALTER TABLE {} SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000);",
            table.name
        ))
    })
}

fn is_off(text: &str) -> bool {
    ["off", "false", "no", "0"].contains(&text)
}

/// The number of dead rows at which a vacuum begins.
fn begins_at(facts: &PostgresFacts, table: &Table) -> f64 {
    let of = |name: &str, default| {
        let own = table.options.get(name).and_then(|text| text.parse().ok());
        own.or_else(|| facts.number(name)).unwrap_or(default)
    };
    of("autovacuum_vacuum_threshold", 50.0) + of("autovacuum_vacuum_scale_factor", 0.2) * table.live as f64
}
