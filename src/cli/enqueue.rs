//! `enqueue`: pushes the messages of orders again.

use clap::Args;
use serde_json::json;

use super::author::AuthorOptions;
use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use super::reach::{ReachOptions, Way};
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::domain::order::OrderId;
use crate::operations::documents::orders::{EnqueuedDocument, EnqueuedOrder};
use crate::operations::enqueue::{Enqueue, MOST};
use crate::operations::plural;
use crate::port::retrying::Retrying;
use crate::service::drain_on_signals;

/// Push the messages of orders again
///
/// Reads each row first, and pushes for orders that are `pending`, or `processing` although their worker's lease is over. A
/// message too many does no harm: the row decides what may happen. The reconciler does the same by itself, after a while.
#[derive(Debug, Args)]
#[command(mut_arg("wait", |wait| wait.default_value("30s")))]
#[command(after_long_help = "\
Examples:
  fulfillment-worker enqueue 7 --why 'the customer waits'
  fulfillment-worker enqueue 7 8 9 --dry-run --why 'after the flush'
  fulfillment-worker orders --state pending --older-than 1h -o json | jq '.orders[].order_id' |
    xargs fulfillment-worker enqueue --why 'after the flush'

The decision stands in the timelines of the pending orders. Ends with exit code 1 if an order does not exist, or its row has
what no message can have.

JSON: version, pushed, left, orders[].{order_id,pushed,impossible,why}, dry_run.")]
pub(super) struct Arguments {
    /// Ids of orders, at most 1,000
    #[arg(value_name = "ID", required = true, num_args = 1.., value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<i64>,

    /// Say what would be pushed, and push nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,

    #[command(flatten)]
    author: AuthorOptions,
}

pub(super) async fn enqueue(arguments: Arguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    if arguments.ids.len() > MOST {
        return Err(Failure::Usage(format!("{} are too many at once; name at most {MOST}", arguments.ids.len())));
    }
    let dry_run = arguments.dry_run;
    let json: EnqueuedDocument = match arguments.reach.way(origins)? {
        Way::Server(server) => {
            let why = arguments.author.why()?;
            server.post("/orders/enqueue", &json!({ "ids": arguments.ids, "why": why, "dry_run": dry_run })).await?
        }
        Way::Stores(connect) => {
            let decision = arguments.author.decision(environment)?;
            let (backends, opened) = connect.open(origins).await?;
            let mut ids = arguments.ids.clone();
            let mut seen = std::collections::HashSet::new();
            ids.retain(|id| seen.insert(*id));
            let store = opened.store;
            let enqueue = Enqueue {
                queue: opened.queue.producer,
                search: store.search,
                reports: store.reports,
                notes: store.notes,
                activity: store.activity,
                lease: backends.lease,
                retrying: Retrying { limit: connect.wait, stop: drain_on_signals()? },
            };
            let order_ids: Vec<OrderId> = ids.iter().copied().map(OrderId).collect();
            let answers = enqueue.orders(&order_ids, &decision, dry_run).await.map_err(Failure::work)?;
            EnqueuedDocument::new(&ids, &answers, dry_run)
        }
    };
    if arguments.format.is_json() {
        output::print_json(&json)?;
    } else {
        output::print_lines(&table(&json, &arguments.format))?;
    }
    let failed = json.orders.iter().filter(|order| order.impossible).count();
    if failed > 0 {
        return Err(Failure::Work(format!("{} can't be pushed, as the list says", plural(failed as u64, "order"))));
    }
    Ok(())
}

fn table(json: &EnqueuedDocument, format: &FormatOptions) -> Vec<String> {
    let answer = |order: &EnqueuedOrder| match (order.pushed, json.dry_run) {
        (true, false) => "pushed",
        (true, true) => "would be pushed",
        (false, _) => "left",
    };
    let row = |order: &EnqueuedOrder| [order.order_id.to_string(), answer(order).to_owned(), order.why.clone()];
    let rows: Vec<[String; 3]> = json.orders.iter().map(row).collect();
    output::table(["ID", "MESSAGE", "WHY"], &rows, format.columns())
}
