//! `tail`: the transitions of orders as they happen.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::api_client::ApiClient;
use super::connect::throttled_notice;
use super::failure::Failure;
use super::order::entry_in_words;
use super::output;
use super::reach::{ReachOptions, Way};
use crate::config::{Origins, values};
use crate::operations::documents::events::{EventsDocument, TransitionDocument};
use crate::port::search::{Feed, Position};
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
    reach: ReachOptions,
}

pub(super) async fn tail(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let source = match arguments.reach.way(origins)? {
        Way::Server(server) => Source::Server(server, None),
        Way::Stores(connect) => Source::Store(connect.open_store(origins).await?.1.feed, Position::default()),
    };
    let stop = drain_on_signals()?;
    stop.run_until_cancelled(follow(source, &arguments)).await.unwrap_or(Ok(()))
}

/// Who reads the timeline, and how far it was read.
enum Source {
    Server(ApiClient, Option<String>),
    Store(Arc<dyn Feed>, Position),
}

impl Source {
    /// The next transitions; `None` while the store doesn't answer, which is noted.
    async fn next(&mut self, note: &mut impl FnMut(&str)) -> Result<Option<Vec<TransitionDocument>>, Failure> {
        match self {
            Self::Server(server, cursor) => {
                let mut query = vec![("limit", PAGE.to_string())];
                query.extend(cursor.clone().map(|cursor| ("cursor", cursor)));
                let page: EventsDocument = server.get("/events", &query).await?;
                *cursor = Some(page.next_cursor);
                // Once it has begun, it outlives an outage.
                server.wait_for_ever();
                Ok(Some(page.events))
            }
            Self::Store(feed, position) => match feed.next(position, PAGE).await {
                Ok(transitions) => Ok(Some(transitions.iter().map(TransitionDocument::from).collect())),
                Err(error) if error.is_transient() => {
                    note(&error.to_string());
                    Ok(None)
                }
                Err(error) => Err(Failure::work(error)),
            },
        }
    }
}

/// Ends when the output is closed or the future dropped, and outlives an outage of the store.
async fn follow(mut source: Source, arguments: &Arguments) -> Result<(), Failure> {
    let mut note = throttled_notice();
    let mut began = false;
    loop {
        if let Some(transitions) = source.next(&mut note).await? {
            if !std::mem::replace(&mut began, true) {
                output::note("from now on; Ctrl-C ends it");
            }
            show(&transitions, arguments)?;
            if transitions.len() >= PAGE {
                continue;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn show(transitions: &[TransitionDocument], arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { states, orders, json, .. } = arguments;
    for transition in transitions {
        let TransitionDocument { order_id, entry } = transition;
        let is_wanted =
            (states.is_empty() || states.contains(&entry.state)) && (orders.is_empty() || orders.contains(order_id));
        if is_wanted {
            output::show(*json, transition, || vec![format!("{order_id:>8}{}", entry_in_words(entry))])?;
        }
    }
    Ok(())
}
