//! `cancel`, `hold` and `release`: what operators decide about orders that are not done.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use self::selection::Selection;
use super::author::AuthorOptions;
use super::failure::Failure;
use super::format::FormatOptions;
use super::jobs::bulk::{self, Bulk, Came, until};
use super::output;
use super::reach::{ReachOptions, Way, whole_seconds};
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::config::values;
use crate::domain::order::OrderId;
use crate::operations::decide::Decide;
use crate::operations::documents::decisions::DecisionsDocument;
use crate::port::decisions::{HoldEnd, Kind, Ruling};
use crate::port::jobs::Task;
use crate::port::retrying::Retrying;
use crate::service::drain_on_signals;

pub(super) mod selection;

/// Orders that one command may name.
const MOST_ORDERS: usize = 1_000;

/// The longest `--for`.
const TEN_YEARS: Duration = Duration::from_secs(10 * 8_766 * 3600);

/// Cancel orders that are not done
///
/// Before its call an order is cancelled at once. During its call it is cancelled too, and its worker writes nothing more; but
/// nobody knows what the warehouse did by then: ask it under the order's idempotency key. A fulfilled order stays so. Of a failed one
/// close the dead letter, with `dead discard`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker cancel 7 --why 'the customer called'
  fulfillment-worker cancel 7 8 9 --why 'recalled' --dry-run
  fulfillment-worker cancel --product 85123 --why 'recalled' --dry-run     all that are not done, as a job
  fulfillment-worker cancel 7 --why 'recalled' --json | jq -r '.orders[] | select(.unknown_at_fulfiller) | .idempotency_key'

Exit code 1 where an order doesn't exist, is fulfilled, failed or somebody else's, or its row is locked. To cancel an order twice is no
error. A filter makes a job: it goes on if this process is killed, and skips what can't be cancelled (`jobs --help`).

JSON: version, dry_run, done, unchanged, impossible, locked, missing, refused (numbers), orders[].{order_id, result (one
of done, unchanged, impossible, locked, missing, refused), state (that was found), idempotency_key, unknown_at_fulfiller, text}, problem
(what else went wrong; null where nothing did). With a filter: version, job (as of `jobs list`); of a dry run, and where nothing matches:
version, dry_run, matching, is_partial (whether there may be more), job (null).")]
pub(super) struct CancelArguments {
    #[command(flatten)]
    options: Options,
}

/// Hold orders: no worker begins them until they are released
///
/// An order that is being worked on is held if it is tried again. A hold takes the place of the one before, and counts for every
/// worker of this version.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker hold 7 --why 'address to be checked'
  fulfillment-worker hold 7 8 --for 2d --why 'not in stock before Monday'
  fulfillment-worker hold 7 --until 2027-01-02T08:00:00+01:00 --why 'sale begins'
  fulfillment-worker hold --product 85123 --rate 500 --why 'to be checked'     all that are not done, as a job

Exit codes and JSON are those of `cancel`, without idempotency_key and unknown_at_fulfiller.")]
pub(super) struct HoldArguments {
    #[command(flatten)]
    end: EndOptions,

    #[command(flatten)]
    options: Options,
}

/// Release orders that are held, by whomever or by their message, and push their messages
///
/// Workers begin them at once.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker release 7 --why 'address is right'

To release an order that isn't held is no error. If it ends between the commit and the push, workers find the orders within minutes.
Exit codes and JSON are those of `cancel`, without idempotency_key and unknown_at_fulfiller.")]
pub(super) struct ReleaseArguments {
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct EndOptions {
    /// Until this time, RFC 3339 with a zone; without it and --for, until somebody releases them
    #[arg(long, value_name = "TIME", value_parser = future, conflicts_with = "time")]
    until: Option<Timestamp>,

    /// For this long, by the database's clock
    #[arg(long = "for", id = "time", value_name = "DURATION", value_parser = values::duration(Duration::from_secs(1), TEN_YEARS))]
    time: Option<Duration>,
}

impl EndOptions {
    fn end(&self) -> HoldEnd {
        match (self.until, self.time) {
            (Some(until), _) => HoldEnd::At(until.as_microsecond()),
            (None, Some(time)) => HoldEnd::After(time),
            (None, None) => HoldEnd::Never,
        }
    }
}

fn future(text: &str) -> Result<Timestamp, String> {
    match text.parse::<Timestamp>() {
        Ok(time) if time > Timestamp::now() => Ok(time),
        Ok(_) => Err("lies in the past".to_owned()),
        Err(_) => Err("must be a time such as 2027-01-02T08:00:00Z, with its zone".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(mut_arg("wait", |wait| wait.default_value("30s")))]
struct Options {
    #[command(flatten)]
    selection: Selection,

    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,

    #[command(flatten)]
    author: AuthorOptions,
}

pub(super) async fn cancel(
    arguments: CancelArguments,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    decide(Kind::Cancel, HoldEnd::Never, arguments.options, origins, environment).await
}

pub(super) async fn hold(
    arguments: HoldArguments,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    decide(Kind::Hold, arguments.end.end(), arguments.options, origins, environment).await
}

pub(super) async fn release(
    arguments: ReleaseArguments,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    decide(Kind::Release, HoldEnd::Never, arguments.options, origins, environment).await
}

async fn decide(
    kind: Kind,
    end: HoldEnd,
    options: Options,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    if let Some(filter) = options.selection.filter() {
        let task = match kind {
            Kind::Cancel => Task::Cancel(filter),
            Kind::Hold => Task::Hold(filter, end),
            Kind::Release => Task::Release(filter),
        };
        return about_all(task, options, origins, environment).await;
    }
    let order_ids: Vec<OrderId> = options.selection.ids.iter().copied().map(OrderId).collect();
    if order_ids.len() > MOST_ORDERS {
        return Err(Failure::Usage(format!("{} orders are more than {MOST_ORDERS} at once", order_ids.len())));
    }
    let dry_run = options.dry_run;
    let document: DecisionsDocument = match options.reach.way(origins)? {
        Way::Server(server) => {
            let mut body = json!({ "ids": options.selection.ids, "why": options.author.why()?, "dry_run": dry_run });
            match end {
                HoldEnd::Never => {}
                HoldEnd::After(time) => body["for_seconds"] = whole_seconds(time).into(),
                HoldEnd::At(micros) => body["until"] = until(micros).into(),
            }
            let path = match kind {
                Kind::Cancel => "/orders/cancel",
                Kind::Hold => "/orders/hold",
                Kind::Release => "/orders/release",
            };
            server.post(path, &body).await?
        }
        Way::Stores(connect) => {
            let ruling = Ruling { decision: options.author.decision(environment)?, dry_run };
            let (_, opened) = connect.open(origins).await?;
            let retrying = Retrying { limit: connect.wait, stop: drain_on_signals()? };
            let (queue, store) = (opened.queue.producer, opened.store.decisions);
            let decide = Decide { queue, store, activity: Some(opened.store.activity), ruling, retrying };
            let decisions = match kind {
                Kind::Cancel => decide.cancel(&order_ids).await.map_err(Failure::work)?,
                Kind::Hold => decide.hold(&order_ids, end).await,
                Kind::Release => decide.release(&order_ids).await,
            };
            DecisionsDocument::new(kind, end, dry_run, &decisions)
        }
    };
    output::show(options.format.is_json(), &document, || document.lines())?;
    document.problem().map_or(Ok(()), |problem| Err(Failure::Work(problem)))
}

/// Decides about everything that matches.
async fn about_all(task: Task, options: Options, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    let (kind, json) = (task.kind(), options.format.is_json());
    let Selection { rate, detach, .. } = options.selection;
    let rate = rate.map(std::num::NonZeroU32::get);
    let bulk = Bulk { task, author: &options.author, rate, dry_run: options.dry_run, detach };
    match bulk.carry_out(options.reach.way(origins)?, origins, environment).await? {
        Came::None(made) => bulk::show_none(&made, kind, json),
        Came::Left(job) => bulk::show_left(job, json),
        Came::Worked(job) => bulk::report(job, json),
    }
}
