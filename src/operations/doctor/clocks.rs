//! Clocks, and the zones that times without one are written in.

use super::words::{identifier, names, time};
use super::{Finding, Level};
use crate::port::diagnosis::postgres::PostgresFacts;
use crate::port::diagnosis::{ClockOffset, QueueFacts, StoreFacts};
use crate::port::reports::ClockDoubt;

/// A difference that nobody notices, and one that breaks signatures and certificates; in seconds.
const SMALL: f64 = 2.0;
const LARGE: f64 = 60.0;

/// Both servers' clocks against this machine's.
pub(super) fn clocks(store: Option<&StoreFacts>, queue: Option<&QueueFacts>) -> Option<Finding> {
    let store = match store {
        Some(StoreFacts::Postgres(facts)) => Some(("Postgres", Ok(facts.clock))),
        _ => None,
    };
    let queue = match queue {
        Some(QueueFacts::Redis(facts)) => Some(("Redis", facts.clock.clone())),
        _ => None,
    };
    let found: Vec<(&str, Result<ClockOffset, String>)> = store.into_iter().chain(queue).collect();
    (!found.is_empty()).then(|| judge(&found))
}

fn judge(found: &[(&str, Result<ClockOffset, String>)]) -> Finding {
    const CHECK: &str = "clocks";
    let mut worst: f64 = 0.0;
    let mut words = Vec::new();
    for (server, offset) in found {
        match offset {
            Err(why) => words.push(format!("the clock of {server} can't be seen: {why}")),
            Ok(ClockOffset { ahead, within }) => {
                worst = worst.max(ahead.abs() - within);
                words.push(match ahead.abs() - within {
                    small if small <= SMALL => format!("the clock of {server} agrees with this machine's"),
                    _ if *ahead > 0.0 => {
                        format!("the clock of {server} is {} ahead of this machine's", time(ahead.abs()))
                    }
                    _ => format!("the clock of {server} is {} behind this machine's", time(ahead.abs())),
                });
            }
        }
    }
    let words = words.join("; ");
    let finding = if worst > SMALL {
        Finding::new(CHECK, if worst > LARGE { Level::Warning } else { Level::Notice }, words)
            .costs(
                "leases and retries go by the servers' clocks, each by its own, and are as they should be; but times in the log, \
                 traces and the timeline don't fit together, and a warehouse refuses signatures, and TLS certificates, of another time",
            )
            .remedy("timedatectl set-ntp true   # on the machine that is wrong")
    } else {
        Finding::ok(CHECK, words)
    };
    finding.value("seconds", worst.max(0.0))
}

/// Whether workers agree on the zone in which they write times without one.
pub(super) fn time_zone(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "time_zone";
    let zones = match &facts.zones {
        Ok(zones) => zones,
        Err(why) => return Finding::unknown(CHECK, why.clone()),
    };
    let noted = names(zones.noted.iter().map(String::as_str));
    let doubt = match (zones.noted.len(), zones.behind) {
        (0 | 1, false) => {
            let written =
                if noted.is_empty() { "none noted within two days".to_owned() } else { format!("written: {noted}") };
            return Finding::ok(CHECK, format!("times are told in one zone ({written}; this role's is {})", zones.own));
        }
        (0 | 1, true) => ClockDoubt::FencesBehind,
        _ => ClockDoubt::ZonesDiffer,
    };
    let finding = Finding::warning(CHECK, format!("{} (within two days: {noted})", doubt.explanation()))
        .costs("ages of orders can't be told, and an order whose worker died is taken over up to a lease later (fulfillment_clock_doubt)");
    match doubt {
        ClockDoubt::ZonesDiffer => finding
            .remedy(format!("ALTER ROLE {} SET timezone = 'UTC';", identifier(&facts.role.name)))
            .caution("the same for every role that workers and producers connect as; a zone counts for two days after its last time"),
        _ => finding.caution("see docs/POSTGRES.md on triggers: let the worker's updated_at stand"),
    }
}
