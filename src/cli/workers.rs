//! `workers`: who works on this store.

use clap::Args;

use super::connect::ConnectOptions;
use super::failure::Failure;
use super::output;
use crate::config::Origins;
use crate::operations::controls::{WorkerJson, state};
use crate::operations::documents::fleet::WorkersDocument;
use crate::port::controls::Worker;

/// List the workers that report to this store, and those that died within a day
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
    /// Print one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectOptions,
}

pub(super) async fn workers(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let (_, store) = arguments.connect.open_store(origins).await?;
    let workers = store.controls.workers().await.map_err(Failure::work)?;
    let controls = store.controls.controls().await.map_err(Failure::work)?;
    let shown = workers.iter().map(|one| WorkerJson::of(one, &controls)).collect();
    let listed = WorkersDocument { workers: shown, next_cursor: None };
    output::show(arguments.json, &listed, || {
        if workers.is_empty() {
            return vec!["no worker reports, and none did within a day".to_owned()];
        }
        let row = |one: &Worker| {
            [
                one.worker.clone(),
                state(one, &controls).to_owned(),
                one.last.host.clone(),
                one.last.pid.to_string(),
                one.last.version.clone(),
                output::rounded(one.up),
                output::rounded(one.silent),
                one.last.in_flight.to_string(),
                one.last.row_leases.to_string(),
                one.last.concurrency.to_string(),
            ]
        };
        let header = ["WORKER", "STATE", "HOST", "PID", "VERSION", "UP", "SEEN", "IN FLIGHT", "ROWS", "CONCURRENCY"];
        output::table(header, &workers.iter().map(row).collect::<Vec<_>>(), output::columns())
    })
}
