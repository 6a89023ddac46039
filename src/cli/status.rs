//! `status`: queue and orders at a glance.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;

use super::api_client::ApiClient;
use super::connect::{throttled_notice, until_ready};
use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use super::reach::{ReachOptions, Way};
use crate::config::Origins;
use crate::domain::order::State;
use crate::operations::controls::SetControlJson;
use crate::operations::documents::status::{DepthDocument, Place, StatusDocument};
use crate::operations::status;
use crate::service::backends::{self, Opened};
use crate::service::drain_on_signals;

/// Show the length of the queue, the orders in each state, and the age of the oldest
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker status
  fulfillment-worker status --watch 5        again every 5 seconds, until Ctrl-C
  fulfillment-worker status --json | jq .queue.waiting

JSON: queue.{waiting,in_flight,due,retrying}, orders.{pending,processing,fulfilled,failed,…}, open_orders, held, jobs (not ended), controls (as in
`limit --json`), dead_letters (those without a decision), dead_letters_by_reason, oldest_pending_seconds, oldest_processing_seconds (null without such an
order, or where its age is unknown), place.{store,queue,queue_key}, problem. While queue or store don't answer, what they would say is null,
problem says why, and the exit code is 1.")]
pub(super) struct Arguments {
    #[command(flatten)]
    format: FormatOptions,

    /// Print again at this interval
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,

    #[command(flatten)]
    reach: ReachOptions,
}

pub(super) async fn status(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let Arguments { format, watch: every, reach } = arguments;
    let json = format.is_json();
    let source = match reach.way(origins)? {
        Way::Server(server) => Source::Server(server),
        Way::Stores(connect) => {
            let (backends, opened) = connect.open_unasked(origins)?;
            let ready = until_ready(&opened, false, connect.wait).await;
            if let Err(failure @ (Failure::Usage(_) | Failure::Clap(_) | Failure::OutputClosed)) = ready {
                return Err(failure);
            }
            Source::Stores(Box::new(opened), backends::place(&backends), ready)
        }
    };
    let Some(seconds) = every else {
        let report = source.look().await?;
        // With neither there is nothing to show.
        if !report.says_nothing() {
            output::show(json, &report, || table(&report))?;
        }
        return source.ready().and(report.problem.map_or(Ok(()), |problem| Err(Failure::Work(problem))));
    };
    let stop = drain_on_signals()?;
    stop.run_until_cancelled(watch(&source, json, Duration::from_secs(seconds))).await.unwrap_or(Ok(()))
}

/// Who says it.
enum Source {
    Server(ApiClient),
    /// Queue and store, and whether they answered at once.
    Stores(Box<Opened>, Place, Result<(), Failure>),
}

impl Source {
    async fn look(&self) -> Result<StatusDocument, Failure> {
        match self {
            Self::Server(server) => server.get("/status", &[]).await,
            Self::Stores(opened, place, _) => {
                let Opened { queue, store } = &**opened;
                Ok(status::status(&*queue.reports, &*store.reports, &*store.controls, &*store.jobs, place.clone())
                    .await)
            }
        }
    }

    fn ready(self) -> Result<(), Failure> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Stores(_, _, ready) => ready,
        }
    }
}

/// Ends when the output is closed or the future dropped, and outlives an outage of a server.
async fn watch(source: &Source, json: bool, every: Duration) -> Result<(), Failure> {
    let clears = io::stdout().is_terminal() && !json;
    let mut note = throttled_notice();
    loop {
        match source.look().await {
            Ok(report) => {
                if clears {
                    output::print_on_cleared_screen(&table(&report))?;
                } else {
                    output::show(json, &report, || table(&report))?;
                }
                report.problem.iter().for_each(|problem| note(problem));
            }
            Err(Failure::Work(problem)) => note(&problem),
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(every).await;
    }
}

/// The worker's own states, which stand first.
const OWN: [State; 4] = [State::Pending, State::Processing, State::Fulfilled, State::Failed];

fn table(report: &StatusDocument) -> Vec<String> {
    let mut lines = Vec::new();
    let StatusDocument { queue, store, place, .. } = report;
    match queue {
        None => lines.push(format!("queue   {}   does not answer", place.queue)),
        Some(DepthDocument { waiting, in_flight, due, retrying }) => {
            lines.push(format!("queue   {}", place.queue));
            let kinds = [("waiting", waiting), ("in flight", in_flight), ("due again", due), ("retrying", retrying)];
            lines.extend(kinds.map(|(what, count)| format!("  {what:<14}{count:>10}")));
        }
    }
    let (Some(orders), Some(letters)) = (&store.orders, store.dead_letters) else {
        lines.push(format!("orders  {}   does not answer", place.store));
        return lines;
    };
    lines.push(format!("orders  {}", place.store));
    let is_own = |state: &str| OWN.iter().any(|own| own.as_str() == state);
    let own = OWN.iter().filter_map(|own| orders.get_key_value(own.as_str()));
    for (state, count) in own.chain(orders.iter().filter(|(state, _)| !is_own(state))) {
        let oldest = match state.as_str() {
            "pending" => oldest(*count, store.oldest_pending_seconds),
            "processing" => oldest(*count, store.oldest_processing_seconds),
            _ => String::new(),
        };
        lines.push(format!("  {state:<14}{count:>10}{oldest}"));
    }
    let open = store.open_orders.unwrap_or_default();
    lines.push(format!("  {:<14}{open:>10}{}", "open", without_message(report)));
    if let Some(held @ 1..) = store.held {
        lines.push(format!("  {:<14}{held:>10}", "held"));
    }
    let mut reasons: Vec<(&String, &u64)> = store.dead_letters_by_reason.iter().flatten().collect();
    reasons.sort_by(|(_, one), (_, other)| other.cmp(one));
    let reasons: Vec<String> = reasons.iter().map(|(reason, letters)| format!("{letters} {reason}")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!("   {}", reasons.join(", ")) };
    lines.push(format!("dead letters    {letters:>10}{reasons}"));
    if let Some(jobs @ 1..) = store.jobs {
        lines.push(format!("jobs            {jobs:>10}   under way or waiting"));
    }
    lines.extend(store.controls.iter().flatten().filter_map(SetControlJson::in_words));
    lines
}

fn oldest(orders: u64, age: Option<f64>) -> String {
    match age {
        _ if orders == 0 => String::new(),
        Some(age) => format!("   oldest {}", output::age(age)),
        None => "   oldest unknown".to_owned(),
    }
}

/// Says that more orders are open than there are messages, as after a Redis that lost its data. Several messages may speak
/// for one order, so the real number may be greater.
fn without_message(report: &StatusDocument) -> String {
    let (Some(open), Some(queue)) = (report.store.open_orders, &report.queue) else { return String::new() };
    match open.saturating_sub(queue.waiting + queue.in_flight + queue.due + queue.retrying) {
        0 => String::new(),
        more => format!("   {more} more than messages in the queue"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dead_letter::{DeadReason, StoredReason};
    use crate::operations::documents::status::StoreStatus;
    use crate::port::queue::Depth;
    use crate::port::reports::{OpenDeadLetters, Summary};

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

    fn report(queue: Option<Depth>, letters: Option<OpenDeadLetters>) -> StatusDocument {
        let store = letters.map(|letters| StoreStatus::new(&summary(), &letters, &[], 2)).unwrap_or_default();
        let (store_url, queue_url) = ("postgres://worker:***@db/shop".to_owned(), "redis://:***@queue:6379".to_owned());
        let place = Place { store: store_url, queue: queue_url, queue_key: Some("fulfillment_queue".to_owned()) };
        StatusDocument { queue: queue.map(Into::into), store, place, problem: None }
    }

    fn whole() -> StatusDocument {
        report(Some(Depth { waiting: 12, in_flight: 3, due: 2, retrying: 1 }), Some(letters()))
    }

    #[test]
    fn the_table_shows_counts_and_ages() {
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
dead letters            11   8 rejected, 3 other
jobs                     2   under way or waiting";
        assert_eq!(table(&whole()).join("\n"), expected);
    }

    /// Caught on the code before: nothing but `waiting 0` spoke of the orders that a Redis had lost.
    #[test]
    fn open_orders_that_an_empty_queue_says_nothing_of_are_named() {
        let shown = table(&report(Some(Depth::default()), Some(OpenDeadLetters::default()))).join("\n");
        assert!(shown.contains("  open                  15   15 more than messages in the queue\n"), "{shown}");
        assert!(shown.contains("\ndead letters             0\n"), "{shown}");
    }

    /// Caught on the code before: without an answer of the queue, nothing was shown at all.
    #[test]
    fn what_does_not_answer_is_named_and_the_other_one_shown() {
        let shown = table(&report(None, Some(letters()))).join("\n");
        assert!(shown.starts_with("queue   redis://:***@queue:6379   does not answer\norders"), "{shown}");
        let without_store = report(Some(Depth::default()), None);
        let shown = table(&without_store).join("\n");
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
            "jobs": 2,
            "controls": [],
            "place": {
                "store": "postgres://worker:***@db/shop", "queue": "redis://:***@queue:6379",
                "queue_key": "fulfillment_queue",
            },
            "problem": null,
        });
        assert_eq!(serde_json::to_value(whole()).unwrap(), expected);
        assert_eq!(serde_json::from_value::<StatusDocument>(expected).unwrap(), whole());
    }
}
