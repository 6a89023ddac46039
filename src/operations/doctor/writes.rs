//! What each transition costs the store: updates that touch no index, the indexes that forbid it, the room for it, and WAL.

use super::words::{bytes, grouped, names, percent, since, time};
use super::{Finding, Level};
use crate::port::diagnosis::postgres::{Index, PostgresFacts, Readers, Table};

/// Fewer updates say nothing about a share.
const ENOUGH_UPDATES: u64 = 1_000;

/// The same while it was looked on, where they are all of the present.
const ENOUGH_NOW: u64 = 200;

/// A share of HOT updates that is worth nothing more to do.
const GOOD_SHARE: u64 = 80;

/// From here on a fillfactor leaves room for both updates of an order.
const ROOMY: u32 = 60;

/// The first version in which an index that sums up whole blocks doesn't forbid HOT updates.
const SUMMARIES_ARE_FREE: u32 = 160_000;

/// Statements for this many parts of a partitioned table.
const MOST_STATEMENTS: usize = 20;

/// What measurements of the two updates of an order found; docs/TUNING.md has all of them.
const GAIN: &str = "with HOT updates alone these updates take a quarter of the processor time and of the WAL, and an order in all \
                    two thirds of its WAL (docs/TUNING.md)";

fn orders(facts: &PostgresFacts) -> Result<Vec<&Table>, String> {
    let tables = facts.tables.as_ref().map_err(Clone::clone)?;
    match tables.iter().filter(|table| table.is_orders).collect::<Vec<_>>() {
        none if none.is_empty() => {
            Err("orders is no table here: a view, whose table is not looked at, or not there at all".to_owned())
        }
        orders => Ok(orders),
    }
}

fn forbids(facts: &PostgresFacts, index: &Index) -> bool {
    !(index.method == "brin" && facts.version >= SUMMARIES_ARE_FREE)
}

/// How many updates touched no index, of what happens now if that is enough.
pub(super) fn hot_updates(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "hot_updates";
    let tables = match orders(facts) {
        Ok(tables) => tables,
        Err(why) => return Finding::unknown(CHECK, why),
    };
    let sum = |of: fn(&Table) -> u64| tables.iter().map(|table| of(table)).sum::<u64>();
    let (updates, hot, when, enough) = match facts.sample {
        Ok(now) if now.updates >= ENOUGH_NOW => {
            (now.updates, now.hot_updates, format!("within {:.0}s", now.seconds), ENOUGH_NOW)
        }
        _ => {
            let (updates, hot) = (sum(|table| table.updates), sum(|table| table.hot_updates));
            (updates, hot, counted(facts), ENOUGH_UPDATES)
        }
    };
    if updates < enough {
        let few = grouped(updates);
        return Finding::unknown(CHECK, format!("{few} updates of orders {when} are too few to judge by"));
    }
    let share = percent(hot, updates);
    let found = format!("{share} % of {} updates of orders were HOT, {when}", grouped(updates));
    let finding = if share >= GOOD_SHARE {
        Finding::ok(CHECK, found)
    } else {
        let blamed = facts.written_indexes.as_ref().is_ok_and(|all| all.iter().any(|one| forbids(facts, one)));
        let why = if blamed { "see written_indexes" } else { "see fillfactor, dead_rows and transactions" };
        let costs = format!("an update that is not HOT writes into each index of the table; {GAIN}");
        Finding::new(CHECK, if share < 50 { Level::Warning } else { Level::Notice }, format!("{found}; {why}"))
            .costs(costs)
    };
    finding.value("updates", updates).value("hot_updates", hot)
}

/// The indexes that make HOT updates impossible, who reads them, and how to be rid of them.
pub(super) fn written_indexes(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "written_indexes";
    let indexes = match &facts.written_indexes {
        Ok(indexes) => indexes,
        Err(why) => return Finding::unknown(CHECK, why.clone()),
    };
    let in_the_way: Vec<&Index> = indexes.iter().filter(|index| forbids(facts, index)).collect();
    if in_the_way.is_empty() {
        return match (indexes.first(), orders(facts)) {
            (None, Err(why)) => Finding::unknown(CHECK, why),
            (None, Ok(_)) => Finding::ok(CHECK, "no index of orders holds a column that every transition writes"),
            (Some(brin), _) => {
                Finding::ok(CHECK, format!("{} is BRIN, which is in the way of no HOT update here", brin.name))
            }
        };
    }
    let scans: u64 = in_the_way.iter().map(|index| index.scans).sum();
    let last = in_the_way.iter().filter_map(|index| index.last_scan).reduce(f64::min);
    let found: Vec<String> = in_the_way.iter().take(MOST_STATEMENTS).map(|index| described(index)).collect();
    let mut finding = Finding::warning(CHECK, format!("{}; {}", found.join("; "), read_by(facts, scans, last)))
        .costs(format!("while such an index is there, no update of orders can be HOT; {GAIN}"))
        .value("indexes", in_the_way.iter().map(|index| index.name.clone()).collect::<Vec<_>>())
        .value("scans", scans)
        .value("bytes", in_the_way.iter().map(|index| index.bytes).sum::<u64>())
        .caution(
            "no statement of the worker needs one; the order API, a report or the shop's page may: docs/TUNING.md says how to \
             find out, and what they can ask instead. An index with a condition on status is in the way, too",
        );
    let mut statements: Vec<String> = in_the_way.iter().map(|index| removal(index)).collect();
    statements.dedup();
    for statement in statements.into_iter().take(MOST_STATEMENTS) {
        finding = finding.remedy(statement);
    }
    finding
}

fn described(index: &Index) -> String {
    let Index { name, method, columns, .. } = index;
    format!("{name} ({method}, {}) holds {}", bytes(index.bytes as f64), columns.join(" and "))
}

/// Since when the server has counted.
fn counted(facts: &PostgresFacts) -> String {
    let ago = facts.counted_for.map(|seconds| format!(", {} ago", time(seconds))).unwrap_or_default();
    format!("since the statistics began{ago}")
}

fn read_by(facts: &PostgresFacts, scans: u64, last: Option<f64>) -> String {
    /// Less says nothing about a report of every night.
    const LONG_ENOUGH: f64 = 2.0 * 86_400.0;
    let last = last.map(|seconds| format!(", the last one {} ago", time(seconds))).unwrap_or_default();
    let scanned = match scans {
        0 if facts.counted_for.is_some_and(|seconds| seconds < LONG_ENOUGH) => {
            format!("not scanned {}, which is too short to say that nobody needs it", counted(facts))
        }
        0 => format!("not scanned {}", counted(facts)),
        scans => format!("scanned {} times {}{last}", grouped(scans), counted(facts)),
    };
    match &facts.readers {
        Err(why) => format!("{scanned}; by whom can't be seen: {why}"),
        Ok(Readers { statements, hidden }) => {
            let others: Vec<String> = statements
                .iter()
                .map(|one| format!("{} ({} calls): {}", one.role, grouped(one.calls), one.statement))
                .collect();
            let hidden = match hidden {
                0 => String::new(),
                hidden => format!("; {hidden} statements are not visible to this role, pg_read_all_stats shows them"),
            };
            match others[..] {
                [] => format!("{scanned}; no statement of others that looks for a status is known{hidden}"),
                _ => format!("{scanned}; others look for a status: {}{hidden}", others.join(" | ")),
            }
        }
    }
}

fn removal(index: &Index) -> String {
    match (&index.constraint, &index.part_of) {
        (Some(constraint), _) => {
            format!("-- {} serves the constraint {constraint}: that has to go, not the index alone", index.name)
        }
        // Neither a part nor the whole of such an index can be dropped beside writers.
        (None, Some(whole)) => format!("DROP INDEX {whole};"),
        (None, None) => format!("DROP INDEX CONCURRENTLY {};", index.name),
    }
}

/// Whether pages have room for the new versions of their rows.
pub(super) fn fillfactor(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "fillfactor";
    let tables = match orders(facts) {
        Ok(tables) => tables,
        Err(why) => return Finding::unknown(CHECK, why),
    };
    let fillfactor = |table: &Table| table.options.get("fillfactor").and_then(|text| text.parse().ok()).unwrap_or(100);
    let full: Vec<&Table> = tables.iter().copied().filter(|table| fillfactor(table) > ROOMY).collect();
    let most = tables.iter().map(|table| fillfactor(table)).max().unwrap_or(100);
    if full.is_empty() {
        return Finding::ok(CHECK, format!("pages of orders are filled to {most} %")).value("fillfactor", most);
    }
    let which = names(full.iter().map(|table| table.name.as_str()));
    let finding = Finding::notice(CHECK, format!("pages of {which} are filled to {most} %"))
        .costs("a HOT update needs room for the new version in the row's own page: of a full one each row moves to another page, with every index")
        .caution(
            "worth it once no index is in the way (written_indexes). It counts for new pages, and so for new orders, which are \
             all that matters; old pages keep as they are until VACUUM FULL (locks the table) or pg_repack rewrites them",
        )
        .value("fillfactor", most);
    full.iter()
        .take(MOST_STATEMENTS)
        .fold(finding, |finding, table| finding.remedy(format!("ALTER TABLE {} SET (fillfactor = 50);", table.name)))
}

/// An estimate: all WAL of the server, and two updates an order.
pub(super) fn wal_per_order(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "wal_per_order";
    /// With timeline and HOT updates it is about 1,000 bytes, page images left out.
    const MUCH: u64 = 2_500;
    let sample = match &facts.sample {
        Ok(sample) if sample.updates >= ENOUGH_NOW => sample,
        Ok(sample) => {
            let few = grouped(sample.updates);
            return Finding::unknown(
                CHECK,
                format!(
                    "{few} updates of orders within {:.0}s are too few to judge by; look again while orders flow, or for longer (--sample 60s)",
                    sample.seconds
                ),
            );
        }
        Err(why) => return Finding::unknown(CHECK, why.clone()),
    };
    let orders = (sample.updates / 2).max(1);
    let each = sample.wal_bytes / orders;
    let found = format!(
        "about {} bytes of WAL an order: {} within {:.0}s, whoever wrote them, for {} updates of orders, two an order",
        grouped(each),
        bytes(sample.wal_bytes as f64),
        sample.seconds,
        grouped(sample.updates)
    );
    let finding = if each > MUCH {
        Finding::notice(CHECK, found).costs("WAL is what commits wait for, replicas receive and archives keep").caution(
            "hot_updates and checkpoints say where it comes from; others who write to this server count here, too",
        )
    } else {
        Finding::ok(CHECK, found)
    };
    finding.value("wal_bytes_per_order", each).value("orders_per_second", orders as f64 / sample.seconds)
}

/// Of all WAL, the share that whole pages take, in percent; `None` where there is little of it.
pub(super) fn page_image_share(facts: &PostgresFacts) -> Option<(u64, String)> {
    const PAGE: f64 = 8_192.0;
    const LITTLE: f64 = 100_000_000.0;
    let wal = facts.wal.as_ref().ok().filter(|wal| wal.bytes >= LITTLE)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 100")]
    let share = (100.0 * wal.page_images * PAGE / wal.bytes).clamp(0.0, 100.0) as u64;
    Some((share, since(wal.since)))
}
