//! `status`: queue and orders at a glance.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::connect::{ConnectOptions, throttled_notice};
use super::failure::Failure;
use super::output;
use crate::config::Backends;
use crate::config::Origins;
use crate::port::queue::Depth;
use crate::port::reports::Summary;
use crate::service::backends::Opened;
use crate::service::drain_on_signals;

/// Clears the screen from its upper left corner on.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Show the length of the queue, the orders in each state, and the age of the oldest
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker status
  fulfillment-worker status --watch 5        again every 5 seconds, until Ctrl-C
  fulfillment-worker status --json | jq .queue.waiting

JSON: queue.{waiting,in_flight,retrying}, orders.{pending,processing,fulfilled,failed,…}, dead_letters,
oldest_pending_seconds, oldest_processing_seconds (null without such an order).")]
pub(super) struct Arguments {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,

    /// Print again at this interval
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,

    #[command(flatten)]
    connect: ConnectOptions,
}

pub(super) async fn status(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let (backends, opened) = arguments.connect.open(origins).await?;
    let Some(seconds) = arguments.watch else {
        let report = Report::of(&opened).await.map_err(Failure::Work)?;
        return output::print(&show(&report, &backends, arguments.json)?);
    };
    let stop = drain_on_signals()?;
    let watching = watch(&opened, &backends, arguments.json, Duration::from_secs(seconds));
    stop.run_until_cancelled(watching).await.unwrap_or(Ok(()))
}

/// Ends when the output is closed or the future dropped, and outlives an outage of a server.
async fn watch(opened: &Opened, backends: &Backends, json: bool, every: Duration) -> Result<(), Failure> {
    let clear = if io::stdout().is_terminal() && !json { CLEAR } else { "" };
    let mut note = throttled_notice();
    loop {
        match Report::of(opened).await {
            Ok(report) => output::print(&format!("{clear}{}", show(&report, backends, json)?))?,
            Err(error) => note(&error),
        }
        tokio::time::sleep(every).await;
    }
}

#[derive(Debug, Serialize)]
struct Report {
    queue: QueueReport,
    orders: BTreeMap<String, u64>,
    dead_letters: u64,
    oldest_pending_seconds: Option<f64>,
    oldest_processing_seconds: Option<f64>,
    #[serde(skip)]
    summary: Summary,
}

#[derive(Debug, Serialize)]
struct QueueReport {
    waiting: u64,
    in_flight: u64,
    retrying: u64,
}

impl Report {
    /// The error names queue or store.
    async fn of(opened: &Opened) -> Result<Self, String> {
        let depth = opened.queue.reports.depth().await.map_err(|error| error.to_string())?;
        let summary = opened.store.reports.summary().await.map_err(|error| error.to_string())?;
        Ok(Self::new(depth, summary))
    }

    fn new(depth: Depth, summary: Summary) -> Self {
        Self {
            queue: QueueReport { waiting: depth.waiting, in_flight: depth.in_flight, retrying: depth.retrying },
            orders: summary.orders_by_state.iter().cloned().collect(),
            dead_letters: summary.dead_letters,
            oldest_pending_seconds: summary.oldest_pending.map(|age| age.as_secs_f64()),
            oldest_processing_seconds: summary.oldest_processing.map(|age| age.as_secs_f64()),
            summary,
        }
    }
}

fn show(report: &Report, backends: &Backends, json: bool) -> Result<String, Failure> {
    if json { serde_json::to_string(report).map_err(Failure::work) } else { Ok(table(report, backends)) }
}

fn table(report: &Report, backends: &Backends) -> String {
    let mut lines = vec![format!("queue   {}", backends.queue)];
    let queue = &report.queue;
    for (what, count) in [("waiting", queue.waiting), ("in flight", queue.in_flight), ("retrying", queue.retrying)] {
        lines.push(format!("  {what:<14}{count:>10}"));
    }
    lines.push(format!("orders  {}", backends.store));
    for (state, count) in &report.summary.orders_by_state {
        let oldest = match state.as_str() {
            "pending" => report.summary.oldest_pending,
            "processing" => report.summary.oldest_processing,
            _ => None,
        };
        let oldest = oldest.map(|age| format!("   oldest {}", output::rounded(age))).unwrap_or_default();
        lines.push(format!("  {state:<14}{count:>10}{oldest}"));
    }
    lines.push(format!("dead letters    {:>10}", report.dead_letters));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{QueueTarget, SecretUrl, StoreTarget};

    fn report() -> Report {
        let states = [("pending", 12), ("processing", 3), ("fulfilled", 989), ("failed", 1), ("cancelled", 2)];
        Report::new(
            Depth { waiting: 12, in_flight: 3, retrying: 1 },
            Summary {
                orders_by_state: states.map(|(state, count)| (state.to_owned(), count)).to_vec(),
                oldest_pending: Some(Duration::from_millis(90_400)),
                oldest_processing: None,
                dead_letters: 1,
            },
        )
    }

    fn backends() -> Backends {
        let url = |text| SecretUrl::new(url::Url::parse(text).unwrap());
        Backends {
            queue: QueueTarget::Redis(url("redis://:hush@queue:6379")),
            queue_key: "fulfillment_queue".to_owned(),
            store: StoreTarget::Postgres(url("postgres://worker:hush@db/shop")),
            store_connections: 8,
            lease: Duration::from_secs(15),
            events: true,
        }
    }

    #[test]
    fn the_table_shows_counts_and_ages_and_no_password() {
        let expected = "\
queue   redis://:***@queue:6379
  waiting               12
  in flight              3
  retrying               1
orders  postgres://worker:***@db/shop
  pending               12   oldest 1m 30s
  processing             3
  fulfilled            989
  failed                 1
  cancelled              2
dead letters             1";
        assert_eq!(show(&report(), &backends(), false).unwrap(), expected);
    }

    #[test]
    fn json_has_the_names_that_help_promises() {
        let json = show(&report(), &backends(), true).unwrap();
        assert_eq!(
            json,
            r#"{"queue":{"waiting":12,"in_flight":3,"retrying":1},"orders":{"cancelled":2,"failed":1,"fulfilled":989,"pending":12,"processing":3},"dead_letters":1,"oldest_pending_seconds":90.4,"oldest_processing_seconds":null}"#
        );
    }
}
