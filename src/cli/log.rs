//! `log`: shows or changes the log filter of the running worker.

use std::time::Duration;

use clap::Args;
use url::form_urlencoded;

use super::failure::Failure;
use super::output;
use super::worker_client::{Request, WorkerOptions, ask_worker};
use crate::config::environment::Environment;
use crate::config::values;

/// Show the log filter of the running worker and its source, or change it without a restart
///
/// Calls /log through the worker's admin socket, which is for the worker's own user, else on the port of --listen. A change
/// lasts until the next one, until the process ends, or for a given time. The worker logs each change.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker log
      the filter in force
  fulfillment-worker log info,fulfillment_worker=debug --for 10m
      every step of every order, for ten minutes
  docker compose exec worker fulfillment-worker log debug --for 1m
      in a container")]
pub(super) struct Arguments {
    /// The new filter: a level, or one such as `warn,fulfillment_worker=debug`
    #[arg(value_name = "FILTER", value_parser = values::log_filter)]
    filter: Option<String>,

    /// How long the change lasts, from 1s to 1day; until the next change if not set
    #[arg(long = "for", value_name = "DURATION", requires = "filter", value_parser = values::log_change)]
    limit: Option<Duration>,

    #[command(flatten)]
    worker: WorkerOptions,
}

pub(super) async fn log(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    let mut path = "/log".to_owned();
    if let Some(limit) = arguments.limit {
        let limit = humantime::format_duration(limit).to_string();
        path += &form_urlencoded::Serializer::new("?".to_owned()).append_pair("for", &limit).finish();
    }
    let request = arguments.filter.as_deref().map_or(Request::Get, Request::Put);
    let answer = ask_worker(&arguments.worker, environment, &path, request).await?;
    // The filter in force, and the next one where that is known. A stranger may say more.
    let lines: Vec<String> = answer.lines().take(2).map(str::to_owned).collect();
    output::print_lines(&lines)
}
