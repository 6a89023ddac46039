//! `log`: shows or changes what the running worker logs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::output;
use super::worker_client::{Request, ask, of_this_machine};
use crate::config::values;

/// Show what the running worker logs and who said so, or change it, without a restart
///
/// Asks /log on the port of --listen, which answers on this machine only. A change lasts until the next one or the end of
/// the process, or for a time. It is logged itself.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker log
      what is logged now
  fulfillment-worker log info,fulfillment_worker=debug --for 10m
      what happens to each order, for ten minutes
  docker compose exec worker fulfillment-worker log debug --for 1m
      in a container")]
pub(super) struct Arguments {
    /// What to log from now on: a level, or a filter such as `warn,fulfillment_worker=debug`
    #[arg(value_name = "FILTER", value_parser = values::log_filter)]
    filter: Option<String>,

    /// For how long, from 1s to 1day; without it until it is changed again
    #[arg(long = "for", value_name = "DURATION", requires = "filter", value_parser = values::log_change)]
    limit: Option<Duration>,

    /// Where the worker listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:2112", value_parser = values::address)]
    listen: SocketAddr,

    /// TOML file with options as keys; FULFILLMENT_CONFIG in the environment
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn log(arguments: Arguments) -> Result<(), Failure> {
    let mut url = of_this_machine(arguments.listen, "/log")?;
    if let Some(limit) = arguments.limit {
        url.query_pairs_mut().append_pair("for", &humantime::format_duration(limit).to_string());
    }
    let request = arguments.filter.as_deref().map_or(Request::Get, Request::Put);
    output::print(ask(url, request).await?.trim_end())
}
