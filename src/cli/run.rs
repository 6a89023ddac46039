//! `run`: the service.

use clap::{ArgMatches, Args};

use super::connect;
use super::failure::Failure;
use crate::config::environment::Environment;
use crate::config::fallback::Fallback;
use crate::config::options::RunOptions;
use crate::config::{Origins, lines};
use crate::observe::logging;
use crate::service::{HangUp, Reload, Service, Signals};

/// Run the service: take orders from the queue and fulfill them, until a signal
///
/// Serves /metrics, /health, /livez and /readyz on --listen before it takes the first order. The first SIGTERM or
/// SIGINT drains: the worker claims no more, finishes the orders in flight, hands back the rest, and exits with code 0.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker run
      on a terminal, with queue and store embedded in ./fulfillment.db
  fulfillment-worker run --store sqlite:orders.db
      with both in another file, anywhere
  REDIS_URL=redis://redis:6379 DATABASE_URL=postgres://worker@db/shop fulfillment-worker run
      in a container
  fulfillment-worker run --config worker.toml --concurrency 5000 --wait 30s
      most options from a file, the rest from the command line

Every option is also a variable, FULFILLMENT_<OPTION>, and a key of the file; see `help` and docs/CONFIGURATION.md.")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) options: RunOptions,
}

pub(super) async fn run(
    arguments: Arguments,
    matches: &ArgMatches,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let (settings, log) = arguments.options.resolve(origins, Fallback::detect())?;
    let chosen = matches.subcommand().map_or(matches, |(_, chosen)| chosen);
    let configuration = lines(chosen, &settings, origins);
    let log = logging::start(&log).map_err(Failure::work)?;
    #[cfg(feature = "faults")]
    crate::testing::mutant::announce();
    tracing::debug!(?settings, "configuration");
    for warning in connect::warnings(&settings.backends, origins, environment) {
        tracing::warn!("{warning}");
    }
    let reload = Reload::default();
    let hang_up = HangUp::Reload(reload.clone());
    let drain = Signals { drain_timeout: Some(settings.drain_timeout), hang_up, ..Signals::default() }.listen()?;
    let service = Service::new(settings).configuration(configuration).log(log).reload(reload).tell_systemd();
    Ok(service.run(drain).await?)
}
