//! `tail`: the transitions of orders as they happen.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::connect::{ConnectOptions, throttled_notice};
use super::failure::Failure;
use super::output;
use crate::config::{Origins, values};
use crate::domain::order::iso_8601;
use crate::port::search::{Feed, Position, Transition};
use crate::port::store::StoreError;
use crate::service::drain_on_signals;

/// How often to look for more.
const EVERY: Duration = Duration::from_millis(500);

/// Transitions read at once.
const PAGE: usize = 1_000;

/// Show the transitions of orders as they happen, until Ctrl-C
///
/// Reads the timeline, which `--events off` doesn't keep. A transition is shown once its transaction has ended, and none is
/// left out, also when the store restarts meanwhile.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker tail
  fulfillment-worker tail --state failed
  fulfillment-worker tail --order 7 --order 8
  fulfillment-worker tail --json | jq -r 'select(.attempt > 1) | .order_id'

JSON, a line for each: version, order_id, at, state, attempt (0 for what was done by hand), worker, correlation_id, note.")]
pub(super) struct Arguments {
    /// Only transitions into this state; repeatable
    #[arg(long = "state", value_name = "STATE", value_parser = values::text(50))]
    states: Vec<String>,

    /// Only transitions of this order; repeatable
    #[arg(long = "order", value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    orders: Vec<i64>,

    /// Print a line of JSON for each
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectOptions,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    order_id: i64,
    at: Option<String>,
    state: &'a str,
    attempt: u32,
    worker: &'a str,
    correlation_id: Option<&'a str>,
    note: Option<&'a str>,
}

pub(super) async fn tail(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let (_, store) = arguments.connect.open_store(origins).await?;
    let stop = drain_on_signals()?;
    stop.run_until_cancelled(follow(&*store.feed, &arguments)).await.unwrap_or(Ok(()))
}

/// Ends when the output is closed or the future dropped, and outlives an outage of the store.
async fn follow(feed: &dyn Feed, arguments: &Arguments) -> Result<(), Failure> {
    let mut position = Position::default();
    let mut note = throttled_notice();
    let mut began = false;
    loop {
        match feed.next(&mut position, PAGE).await {
            Ok(transitions) => {
                if !std::mem::replace(&mut began, true) {
                    output::note("from now on; Ctrl-C ends it");
                }
                let is_full = transitions.len() >= PAGE;
                show(&transitions, arguments)?;
                if is_full {
                    continue;
                }
            }
            Err(error) if StoreError::is_transient(&error) => note(&error.to_string()),
            Err(error) => return Err(Failure::work(error)),
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn show(transitions: &[Transition], arguments: &Arguments) -> Result<(), Failure> {
    let states = &arguments.states;
    for Transition { order_id, entry } in transitions {
        let is_wanted = (states.is_empty() || states.iter().any(|state| state == entry.state.as_str()))
            && (arguments.orders.is_empty() || arguments.orders.contains(&order_id.0));
        if !is_wanted {
            continue;
        }
        if !arguments.json {
            output::print(&format!("{order_id:>8}{}", super::order::entry_in_words(entry)))?;
            continue;
        }
        output::print_json(&Json {
            order_id: order_id.0,
            at: iso_8601(entry.at.0),
            state: entry.state.as_str(),
            attempt: entry.attempt,
            worker: &entry.worker,
            correlation_id: entry.correlation_id.as_deref(),
            note: entry.note.as_deref(),
        })?;
    }
    Ok(())
}
