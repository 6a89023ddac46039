//! `status`: queue and orders at a glance.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::connect::{ConnectOptions, throttled_notice, until_ready};
use super::failure::Failure;
use super::output;
use crate::config::Backends;
use crate::config::Origins;
use crate::domain::label::Label;
use crate::operations::controls::SetControlJson;
use crate::port::controls::SetControl;
use crate::port::queue::Depth;
use crate::port::reports::{OpenDeadLetters, Summary};
use crate::port::store::StoreError;
use crate::service::backends::Opened;
use crate::service::drain_on_signals;

/// Show the length of the queue, the orders in each state, and the age of the oldest
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker status
  fulfillment-worker status --watch 5        again every 5 seconds, until Ctrl-C
  fulfillment-worker status --json | jq .queue.waiting

JSON: queue.{waiting,in_flight,due,retrying}, orders.{pending,processing,fulfilled,failed,…}, open_orders, held, controls (as in
`limit --json`), dead_letters (those without a decision), dead_letters_by_reason, oldest_pending_seconds, oldest_processing_seconds (null without such an
order, or where its age is unknown). While queue or store don't answer, what they would say is null and the exit code 1.")]
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
    let (backends, opened) = arguments.connect.open_unasked(origins)?;
    let ready = until_ready(&opened, false, arguments.connect.wait).await;
    if let Err(failure @ (Failure::Usage(_) | Failure::Clap(_) | Failure::OutputClosed)) = ready {
        return Err(failure);
    }
    let Some(seconds) = arguments.watch else {
        let (report, problems) = Report::of(&opened).await;
        // With neither there is nothing to show.
        if problems.len() < 2 {
            output::show(arguments.json, &report, || table(&report, &backends))?;
        }
        return ready.and(if problems.is_empty() { Ok(()) } else { Err(Failure::Work(problems.join("; "))) });
    };
    let stop = drain_on_signals()?;
    let watching = watch(&opened, &backends, arguments.json, Duration::from_secs(seconds));
    stop.run_until_cancelled(watching).await.unwrap_or(Ok(()))
}

/// Ends when the output is closed or the future dropped, and outlives an outage of a server.
async fn watch(opened: &Opened, backends: &Backends, json: bool, every: Duration) -> Result<(), Failure> {
    let clears = io::stdout().is_terminal() && !json;
    let mut note = throttled_notice();
    loop {
        let (report, problems) = Report::of(opened).await;
        if clears {
            output::print_on_cleared_screen(&table(&report, backends))?;
        } else {
            output::show(json, &report, || table(&report, backends))?;
        }
        if !problems.is_empty() {
            note(&problems.join("; "));
        }
        tokio::time::sleep(every).await;
    }
}

#[derive(Debug, Serialize)]
struct Report {
    queue: Option<QueueReport>,
    #[serde(flatten)]
    store: StoreReport,
}

#[derive(Debug, Serialize)]
struct QueueReport {
    waiting: u64,
    in_flight: u64,
    due: u64,
    retrying: u64,
}

/// All `None` while the store doesn't answer.
#[derive(Debug, Default, Serialize)]
struct StoreReport {
    orders: Option<BTreeMap<String, u64>>,
    open_orders: Option<u64>,
    held: Option<u64>,
    dead_letters: Option<u64>,
    dead_letters_by_reason: Option<BTreeMap<&'static str, u64>>,
    oldest_pending_seconds: Option<f64>,
    oldest_processing_seconds: Option<f64>,
    controls: Option<Vec<SetControlJson>>,
    #[serde(skip)]
    set: Vec<SetControl>,
    #[serde(skip)]
    summary: Option<Summary>,
}

impl Report {
    /// What queue and store say, and why one of them says nothing.
    async fn of(opened: &Opened) -> (Self, Vec<String>) {
        let store = async {
            let reports = &opened.store.reports;
            let controls = opened.store.controls.controls().await?;
            Ok::<_, StoreError>((reports.summary().await?, reports.open_dead_letters().await?, controls))
        };
        let (queue, store) = tokio::join!(opened.queue.reports.depth(), store);
        let mut problems = Vec::new();
        let queue = queue.map_err(|error| problems.push(error.to_string())).ok();
        let store = store.map_err(|error| problems.push(error.to_string())).ok();
        (Self::new(queue, store), problems)
    }

    fn new(queue: Option<Depth>, store: Option<(Summary, OpenDeadLetters, Vec<SetControl>)>) -> Self {
        let of_queue = |Depth { waiting, in_flight, due, retrying }| QueueReport { waiting, in_flight, due, retrying };
        Self { queue: queue.map(of_queue), store: store.map(StoreReport::new).unwrap_or_default() }
    }
}

impl StoreReport {
    fn new((summary, letters, set): (Summary, OpenDeadLetters, Vec<SetControl>)) -> Self {
        let open = |(state, _): &&(String, u64)| matches!(state.as_str(), "pending" | "processing");
        let by_reason = letters.by_reason.into_iter().filter(|(_, letters)| *letters > 0);
        Self {
            orders: Some(summary.orders_by_state.iter().cloned().collect()),
            open_orders: Some(summary.orders_by_state.iter().filter(open).map(|(_, orders)| orders).sum()),
            held: Some(summary.held),
            dead_letters: Some(letters.all()),
            dead_letters_by_reason: Some(by_reason.map(|(reason, letters)| (reason.as_str(), letters)).collect()),
            oldest_pending_seconds: summary.oldest_pending.map(|age| age.as_secs_f64()),
            oldest_processing_seconds: summary.oldest_processing.map(|age| age.as_secs_f64()),
            controls: Some(set.iter().map(SetControlJson::from).collect()),
            set,
            summary: Some(summary),
        }
    }
}

fn table(report: &Report, backends: &Backends) -> Vec<String> {
    let mut lines = Vec::new();
    match &report.queue {
        None => lines.push(format!("queue   {}   does not answer", backends.queue)),
        Some(QueueReport { waiting, in_flight, due, retrying }) => {
            lines.push(format!("queue   {}", backends.queue));
            let kinds = [("waiting", waiting), ("in flight", in_flight), ("due again", due), ("retrying", retrying)];
            lines.extend(kinds.map(|(what, count)| format!("  {what:<14}{count:>10}")));
        }
    }
    let (Some(summary), Some(letters)) = (&report.store.summary, report.store.dead_letters) else {
        lines.push(format!("orders  {}   does not answer", backends.store));
        return lines;
    };
    lines.push(format!("orders  {}", backends.store));
    for (state, count) in &summary.orders_by_state {
        let oldest = match state.as_str() {
            "pending" => oldest(*count, summary.oldest_pending),
            "processing" => oldest(*count, summary.oldest_processing),
            _ => String::new(),
        };
        lines.push(format!("  {state:<14}{count:>10}{oldest}"));
    }
    lines.push(format!(
        "  {:<14}{:>10}{}",
        "open",
        report.store.open_orders.unwrap_or_default(),
        without_message(report)
    ));
    if let Some(held @ 1..) = report.store.held {
        lines.push(format!("  {:<14}{held:>10}", "held"));
    }
    let mut reasons: Vec<(&&str, &u64)> = report.store.dead_letters_by_reason.iter().flatten().collect();
    reasons.sort_by(|(_, one), (_, other)| other.cmp(one));
    let reasons: Vec<String> = reasons.iter().map(|(reason, letters)| format!("{letters} {reason}")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!("   {}", reasons.join(", ")) };
    lines.push(format!("dead letters    {letters:>10}{reasons}"));
    lines.extend(report.store.set.iter().map(|set| set.in_words(true)));
    lines
}

fn oldest(orders: u64, age: Option<Duration>) -> String {
    match age {
        _ if orders == 0 => String::new(),
        Some(age) => format!("   oldest {}", output::rounded(age)),
        None => "   oldest unknown".to_owned(),
    }
}

/// Says that more orders are open than there are messages, as after a Redis that lost its data. Several messages may speak
/// for one order, so the real number may be greater.
fn without_message(report: &Report) -> String {
    let (Some(open), Some(queue)) = (report.store.open_orders, &report.queue) else { return String::new() };
    match open.saturating_sub(queue.waiting + queue.in_flight + queue.due + queue.retrying) {
        0 => String::new(),
        more => format!("   {more} more than messages in the queue"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{QueueTarget, QueueTls, SecretUrl, StoreTarget};
    use crate::domain::dead_letter::{DeadReason, StoredReason};

    fn summary() -> Summary {
        let states = [("pending", 12), ("processing", 3), ("fulfilled", 989), ("failed", 1), ("cancelled", 2)];
        Summary {
            orders_by_state: states.map(|(state, count)| (state.to_owned(), count)).to_vec(),
            held: 4,
            oldest_pending: Some(Duration::from_millis(90_400)),
            oldest_processing: None,
        }
    }

    fn letters() -> OpenDeadLetters {
        let mut letters = OpenDeadLetters::default();
        letters.by_reason[StoredReason::Known(DeadReason::Rejected)] = 8;
        letters.by_reason[StoredReason::Other] = 3;
        letters
    }

    fn report() -> Report {
        let depth = Depth { waiting: 12, in_flight: 3, due: 2, retrying: 1 };
        Report::new(Some(depth), Some((summary(), letters(), Vec::new())))
    }

    fn backends() -> Backends {
        let url = |text| SecretUrl::new(url::Url::parse(text).unwrap());
        Backends {
            queue: QueueTarget::Redis(url("redis://:hush@queue:6379")),
            queue_tls: QueueTls::default(),
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
  due again              2
  retrying               1
orders  postgres://worker:***@db/shop
  pending               12   oldest 1m 30s
  processing             3   oldest unknown
  fulfilled            989
  failed                 1
  cancelled              2
  open                  15
  held                   4
dead letters            11   8 rejected, 3 other";
        assert_eq!(table(&report(), &backends()).join("\n"), expected);
    }

    /// Caught on the code before: nothing but `waiting 0` spoke of the orders that a Redis had lost.
    #[test]
    fn open_orders_that_an_empty_queue_says_nothing_of_are_named() {
        let report = Report::new(Some(Depth::default()), Some((summary(), OpenDeadLetters::default(), Vec::new())));
        let shown = table(&report, &backends()).join("\n");
        assert!(shown.contains("  open                  15   15 more than messages in the queue\n"), "{shown}");
        assert!(shown.ends_with("dead letters             0"), "{shown}");
    }

    /// Caught on the code before: without an answer of the queue, nothing was shown at all.
    #[test]
    fn what_does_not_answer_is_named_and_the_other_one_shown() {
        let shown = table(&Report::new(None, Some((summary(), letters(), Vec::new()))), &backends()).join("\n");
        assert!(shown.starts_with("queue   redis://:***@queue:6379   does not answer\norders"), "{shown}");
        let without_store = Report::new(Some(Depth::default()), None);
        let shown = table(&without_store, &backends()).join("\n");
        assert!(shown.ends_with("orders  postgres://worker:***@db/shop   does not answer"), "{shown}");
        let json = serde_json::to_value(without_store).unwrap();
        assert_eq!((&json["orders"], &json["dead_letters"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    }

    #[test]
    fn json_has_the_names_that_help_promises() {
        let expected = serde_json::json!({
            "queue": {"waiting": 12, "in_flight": 3, "due": 2, "retrying": 1},
            "orders": {"cancelled": 2, "failed": 1, "fulfilled": 989, "pending": 12, "processing": 3},
            "open_orders": 15,
            "held": 4,
            "dead_letters": 11,
            "dead_letters_by_reason": {"other": 3, "rejected": 8},
            "oldest_pending_seconds": 90.4,
            "oldest_processing_seconds": null,
            "controls": [],
        });
        assert_eq!(serde_json::to_value(report()).unwrap(), expected);
    }
}
