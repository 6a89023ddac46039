//! `doctor`: what queue and store cost, and what to do about it.

use std::time::Duration;

use clap::Args;

use super::connect::{ConnectOptions, until_ready};
use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use crate::config::values;
use crate::config::{Backends, Origins};
use crate::operations::doctor::{self, Counts, Finding, Level, Report};
use crate::operations::plural;

/// Examine how Postgres and Redis are set up: what it costs, and the DDL or setting to mend it
///
/// Changes nothing: what there is to do is printed, to be pasted by whoever may. It reads statistics and catalogues, never the
/// rows of a large table, with the worker's own rights; what this user may not see is `unknown` and no error. Each question has
/// 5 s, and 30 s the check of the tables that `run` makes, too. Numbers of the store are those since its statistics began; what
/// happens now is counted for --sample. docs/TUNING.md has measurements.
///
/// Exit code 0 without a warning, 1 with one, 2 if queue or store could not be looked at.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker doctor
  fulfillment-worker doctor --sample 60s      WAL per order and HOT updates of a minute's work
  fulfillment-worker doctor --json | jq '.findings[] | select(.level == \"warning\")'
  fulfillment-worker doctor --json | jq -r '.findings[].do[]'

JSON: store, queue (null without an answer), warnings, notices, unknown, ok, unanswered[], and findings[].{check,level,found,costs,
do,caution,values}: level is warning, notice, unknown or ok; do has statements and settings to paste; costs and caution are null
where there are none; values has the numbers by name. Checks of Postgres: hot_updates, written_indexes, fillfactor, wal_per_order,
transactions, replication_slots, prepared_transactions, dead_rows, autovacuum, checkpoints, durability, session_settings, connections,
store_latency, time_zone, tables_and_rights, excess_rights, store_tls; of Redis: maxmemory_policy, memory, persistence, appendfsync, disk,
queue_user, queue_latency, queue_tls; of both: clocks; of any store: controls, jobs; of an embedded database: journal_mode, file_system, free_pages, disk_space,
tables_and_rights.")]
pub(super) struct Arguments {
    #[command(flatten)]
    format: FormatOptions,

    /// How long to count what happens now; 0s for not at all
    #[arg(long, value_name = "DURATION", default_value = "5s",
          value_parser = values::duration(Duration::ZERO, Duration::from_secs(3600)))]
    sample: Duration,

    #[command(flatten)]
    connect: ConnectOptions,
}

pub(super) async fn doctor(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let (backends, opened) = arguments.connect.open_unasked(origins).map_err(unseen)?;
    // Whether `run` would start is a finding of its own.
    let ready = until_ready(&opened, false, arguments.connect.wait).await;
    if let Err(failure @ (Failure::Usage(_) | Failure::Clap(_) | Failure::OutputClosed)) = ready {
        return Err(failure);
    }
    let (queue, store) = (&*opened.queue.diagnosis, &*opened.store.diagnosis);
    let report = doctor::examine(
        queue,
        store,
        &*opened.store.schema,
        &*opened.store.controls,
        &*opened.store.jobs,
        arguments.sample,
    )
    .await;
    output::show(arguments.format.is_json(), &report, || text(&report, &backends))?;
    match (&report.unanswered[..], report.counts.warnings) {
        ([], 0) => Ok(()),
        ([], warnings) => Err(Failure::Work(plural(warnings as u64, "warning"))),
        (unanswered, _) => Err(Failure::Unseen(unanswered.join("; "))),
    }
}

fn unseen(failure: Failure) -> Failure {
    match failure {
        Failure::Work(message) => Failure::Unseen(message),
        other => other,
    }
}

fn text(report: &Report, backends: &Backends) -> Vec<String> {
    let said = |name: &Option<String>| name.clone().unwrap_or_else(|| "does not answer".to_owned());
    let mut lines = vec![
        format!("store    {}   {}", said(&report.store), backends.store),
        format!("queue    {}   {}", said(&report.queue), backends.queue),
    ];
    let mut level = None;
    for finding in &report.findings {
        // Those that are as they should be stand together.
        if finding.level != Level::Ok || level != Some(Level::Ok) {
            lines.push(String::new());
        }
        level = Some(finding.level);
        lines.extend(of_finding(finding));
    }
    let Counts { warnings, notices, unknown, ok } = report.counts;
    let [warnings, notices] =
        [(warnings, "warning"), (notices, "notice")].map(|(count, what)| plural(count as u64, what));
    lines.push(String::new());
    lines.push(format!("{warnings}, {notices}, {unknown} unknown, {ok} ok. Nothing was changed."));
    lines
}

fn of_finding(finding: &Finding) -> Vec<String> {
    let level = match finding.level {
        Level::Warning => "WARNING",
        Level::Notice => "notice",
        Level::Unknown => "unknown",
        Level::Ok => "ok",
    };
    let mut lines = vec![format!("{level:<9}{:<22}{}", finding.check, finding.found)];
    let mut detail = |name: &str, text: &str| lines.push(format!("{:<9}{name:<22}{text}", ""));
    if let Some(costs) = &finding.costs {
        detail("  costs", costs);
    }
    for remedy in &finding.remedy {
        detail("  do", remedy);
    }
    if let Some(caution) = &finding.caution {
        detail("  but", caution);
    }
    lines
}
