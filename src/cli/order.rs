//! `order`: the row and the timeline of one order.

use std::fmt;

use clap::Args;

use super::api_client::ApiClient;
use super::dead::letter;
use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use super::reach::{ReachOptions, Way};
use crate::config::{Origins, values};
use crate::domain::order::OrderId;
use crate::operations::documents::orders::{EntryDocument, HistoryDocument};
use crate::operations::history::History;
use crate::service::backends::StoreRoles;

mod correlated;

/// Show one order: its row and its timeline
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker order 7
  fulfillment-worker order 7 --json | jq -r '.timeline[] | [.at, .state, .note] | @tsv'
  fulfillment-worker order --correlation-id 536365

Times are the database's, without a zone, as in its columns; ages are by its clock. A correlation id is looked for in the
timelines: one begins with an order's first attempt, and `--events off` keeps none. Where nothing leads to correlation ids
(docs/POSTGRES.md), the search goes from the newest orders backwards, for at most 10 seconds.

JSON: order_id, state, product_id, product, quantity, created_at, age_seconds, updated_at, idle_seconds,
idempotency_key, timeline[].{at,state,attempt,worker,correlation_id,note}, dead_letters[] as of `dead list`.
With --correlation-id: correlation_id, orders[] of these, searched_down_to (the lowest order id that was looked at where
older ones were not; null if all were).")]
pub(super) struct Arguments {
    /// Key of the order's row
    #[arg(value_name = "ID", value_parser = order_id, required_unless_present = "correlation_id")]
    id: Option<i64>,

    /// Find orders by the correlation id of their messages instead; shows the order, or a list where it has several
    #[arg(long, value_name = "TEXT", conflicts_with = "id", value_parser = values::not_empty)]
    correlation_id: Option<String>,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
}

fn order_id(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err("must be a whole number from 1; a correlation id goes with --correlation-id".to_owned()),
    }
}

pub(super) async fn order(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let source = match arguments.reach.way(origins)? {
        Way::Server(server) => Source::Server(server),
        Way::Stores(connect) => {
            let (backends, store) = connect.open_store(origins).await?;
            Source::Store(Box::new(store), backends.store.to_string())
        }
    };
    let Some(id) = arguments.id else {
        let id = arguments.correlation_id.unwrap_or_default();
        return correlated::search(&source, id).await?.show(&arguments.format, &source);
    };
    match source.history(id).await? {
        Some(history) => {
            output::show(arguments.format.is_json(), &history, || lines(&history, arguments.format.columns()))
        }
        None => Err(Failure::Work(format!("order {id} does not exist in {source}"))),
    }
}

/// Who knows the orders.
enum Source {
    Server(ApiClient),
    /// With its URL.
    Store(Box<StoreRoles>, String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => write!(f, "the store of {server}"),
            Self::Store(_, url) => f.write_str(url),
        }
    }
}

impl Source {
    async fn history(&self, id: i64) -> Result<Option<HistoryDocument>, Failure> {
        match self {
            Self::Server(server) => server.find(&format!("/orders/{id}")).await,
            Self::Store(store, _) => {
                let history = History::of(&*store.reports, &*store.dead_letters, OrderId(id)).await;
                Ok(history.map_err(Failure::work)?.as_ref().map(HistoryDocument::from))
            }
        }
    }
}

fn lines(history: &HistoryDocument, columns: Option<usize>) -> Vec<String> {
    let order = &history.order;
    let mut lines = vec![
        format!("order     {}   {}", order.order_id, order.state),
        format!("product   {}   {}", order.product_id, order.product.as_deref().unwrap_or("(not in products)")),
        format!("quantity  {}", order.quantity),
        format!("created   {}", when(order.created_at.as_deref(), order.age_seconds)),
        format!("updated   {}", when(order.updated_at.as_deref(), order.idle_seconds)),
        format!("key       {}", history.idempotency_key),
        "timeline".to_owned(),
    ];
    lines.extend(history.timeline.iter().map(entry_in_words));
    if history.timeline.is_empty() {
        lines.push("  empty: never begun, or begun with --events off, or deleted by --keep-events".to_owned());
    }
    if !history.dead_letters.is_empty() {
        lines.push("dead letters".to_owned());
        let rows: Vec<_> = history.dead_letters.iter().map(letter::cells).collect();
        let width = columns.map(|columns| columns.saturating_sub(2));
        let table = output::table(["ID", "AGE", "REASON", "ORDER", "DETAIL"], &rows, width);
        lines.extend(table.iter().map(|line| format!("  {line}")));
    }
    lines
}

fn when(at: Option<&str>, ago: Option<f64>) -> String {
    match (at, ago) {
        (Some(at), Some(ago)) => format!("{at}   {} ago", output::age(ago)),
        (Some(at), None) => format!("{at}   age unknown"),
        (None, _) => "unknown".to_owned(),
    }
}

pub(super) fn entry_in_words(entry: &EntryDocument) -> String {
    let at = entry.at.as_deref().unwrap_or_default();
    let attempt = if entry.attempt == 0 { "by hand  ".to_owned() } else { format!("attempt {}", entry.attempt) };
    let mut line = format!("  {at}  {:<10}  {attempt}  worker {}", entry.state, entry.worker);
    if let Some(correlation_id) = &entry.correlation_id {
        line.push_str(&format!("  correlation {correlation_id}"));
    }
    if let Some(note) = &entry.note {
        line.push_str(&format!("  {note}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::order::{Fence, State};
    use crate::port::reports::{OrderReport, TimelineEntry};

    fn history() -> HistoryDocument {
        (&read()).into()
    }

    fn read() -> History {
        let entry = |at, state, note: &str| TimelineEntry {
            at: Fence(at),
            state,
            attempt: 1,
            worker: "00ff".to_owned(),
            correlation_id: Some("536365".to_owned()),
            note: Some(note.to_owned()).filter(|note| !note.is_empty()),
        };
        History {
            order: OrderReport {
                id: OrderId(7),
                state: State::Failed,
                product_id: 3,
                product: Some("HAND WARMER".to_owned()),
                quantity: 6,
                created_at_micros: Some(1_700_000_000_000_001),
                age: Some(Duration::from_millis(90_400)),
                updated_at_micros: None,
                idle: None,
            },
            timeline: vec![
                entry(1_700_000_001_000_000, State::Processing, ""),
                entry(1_700_000_002_000_000, State::Failed, "422: no\n\u{1b}[2Jsuch colour"),
            ],
            letters: Vec::new(),
        }
    }

    #[test]
    fn the_text_has_a_line_for_each_step() {
        assert_eq!(
            lines(&history(), None).join("\n"),
            "\
order     7   failed
product   3   HAND WARMER
quantity  6
created   2023-11-14T22:13:20.000001   1m 30s ago
updated   unknown
key       order-7-1700000000000001
timeline
  2023-11-14T22:13:21.000000  processing  attempt 1  worker 00ff  correlation 536365
  2023-11-14T22:13:22.000000  failed      attempt 1  worker 00ff  correlation 536365  422: no\n\u{1b}[2Jsuch colour"
        );
    }

    #[test]
    fn an_empty_timeline_names_what_can_have_emptied_it() {
        let lines = lines(&HistoryDocument { timeline: Vec::new(), ..history() }, None).join("\n");
        assert!(
            lines.ends_with("timeline\n  empty: never begun, or begun with --events off, or deleted by --keep-events")
        );
    }

    #[test]
    fn json_has_the_names_that_help_promises() {
        let json = serde_json::to_value(history()).unwrap();
        let expected = serde_json::json!({
            "order_id": 7, "state": "failed", "product_id": 3, "product": "HAND WARMER", "quantity": 6,
            "created_at": "2023-11-14T22:13:20.000001", "age_seconds": 90.4, "updated_at": null, "idle_seconds": null,
            "idempotency_key": "order-7-1700000000000001",
            "timeline": [
                {"at": "2023-11-14T22:13:21.000000", "state": "processing", "attempt": 1, "worker": "00ff",
                 "correlation_id": "536365", "note": null},
                {"at": "2023-11-14T22:13:22.000000", "state": "failed", "attempt": 1, "worker": "00ff",
                 "correlation_id": "536365", "note": "422: no\n\u{1b}[2Jsuch colour"},
            ],
            "dead_letters": [],
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<HistoryDocument>(expected).unwrap(), history());
    }
}
