//! `run`: the service.

use clap::Args;

use super::connect;
use super::failure::Failure;
use crate::cli::signals;
use crate::config::layers::Origins;
use crate::config::options::RunOptions;
use crate::config::{LogFormat, LogSettings};
use crate::observe::logging::{self, Filter, Log};
use crate::service::Service;

/// Run the service: take orders from the queue and work them off until told to stop
///
/// Serves /metrics, /health, /livez and /readyz on --listen before the first order is taken. The first SIGTERM or
/// SIGINT drains: nothing more is taken, calls under way are finished, the rest goes back to the queue, exit code 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker run
      queue and store embedded in ./fulfillment.db
  REDIS_URL=redis://redis:6379 DATABASE_URL=postgres://worker@db/shop fulfillment-worker run
      the usual way in a container
  fulfillment-worker run --config worker.toml --concurrency 5000 --wait 30s
      a file for most, the command line for the rest

Every option is also FULFILLMENT_<OPTION> in the environment and a key of the file; see `help`.")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) options: RunOptions,
}

pub(super) async fn run(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let (settings, log) = arguments.options.resolve(origins)?;
    let log = start_logging(&log)?;
    #[cfg(feature = "faults")]
    crate::testing::mutant::announce();
    tracing::debug!(?settings, "configuration");
    if let Some(doubt) = connect::doubt(&settings.backends) {
        tracing::warn!("{doubt}");
    }
    let drain =
        signals::on_signals().map_err(|error| Failure::Work(format!("signals can't be listened for: {error}")))?;
    Ok(Service::new(settings).log(log).run(drain).await?)
}

pub(super) fn start_logging(log: &LogSettings) -> Result<Log, Failure> {
    let format = log.format.unwrap_or_else(LogFormat::detect);
    let filter = Filter::new(&log.filter, &log.filter_origin.to_string());
    logging::init(format, Some(filter)).map_err(|error| Failure::Work(error.to_string()))
}
