//! `workers`: who works on this store.

use clap::Args;

use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use super::reach::{ReachOptions, Way};
use crate::config::Origins;
use crate::operations::controls::WorkerJson;
use crate::operations::documents::fleet::WorkersDocument;
use crate::port::controls::MOST_WORKERS;

/// List the workers that report to this store, and those that died within a day, newest first
///
/// A worker is dead when it has been silent for longer than its lease: others take its orders over. IN FLIGHT and ROWS are what
/// it last reported, so those of a dead one are what it held.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker workers
  fulfillment-worker workers --json | jq '.workers[] | select(.state == \"dead\")'

STATE: running, paused (with the fleet), quiet (alone), pausing (a claim is still under way), dead.
JSON: version, workers: each with worker, state, host, pid, version, up_seconds, silent_seconds, in_flight, row_leases,
concurrency, holds_claims, quiet; next_cursor (null; for the API). At most 1,000, those that reported last.")]
pub(super) struct Arguments {
    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
}

pub(super) async fn workers(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let mut listed: WorkersDocument = match arguments.reach.way(origins)? {
        Way::Server(server) => server.get("/workers", &[("limit", MOST_WORKERS.to_string())]).await?,
        Way::Stores(connect) => {
            let (_, store) = connect.open_store(origins).await?;
            let workers = store.controls.workers().await.map_err(Failure::work)?;
            let controls = store.controls.controls().await.map_err(Failure::work)?;
            let workers = workers.iter().map(|one| WorkerJson::of(one, &controls)).collect();
            WorkersDocument { workers, next_cursor: None }
        }
    };
    listed.workers.sort_by(|one, other| one.up_seconds.total_cmp(&other.up_seconds));
    output::show(arguments.format.is_json(), &listed, || table(&listed.workers, &arguments.format))
}

fn table(workers: &[WorkerJson], format: &FormatOptions) -> Vec<String> {
    if workers.is_empty() {
        return vec!["no worker reports, and none did within a day".to_owned()];
    }
    let row = |one: &WorkerJson| {
        [
            one.worker.clone(),
            one.state.clone(),
            one.host.clone(),
            one.pid.to_string(),
            one.version.clone(),
            output::age(one.up_seconds),
            output::age(one.silent_seconds),
            one.in_flight.to_string(),
            one.row_leases.to_string(),
            one.concurrency.to_string(),
        ]
    };
    let header = ["WORKER", "STATE", "HOST", "PID", "VERSION", "UP", "SEEN", "IN FLIGHT", "ROWS", "CONCURRENCY"];
    output::table(header, &workers.iter().map(row).collect::<Vec<_>>(), format.columns())
}
