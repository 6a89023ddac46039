//! `healthcheck`: asks the running worker, for container health checks without curl.

use clap::Args;

use super::failure::Failure;
use super::output;
use super::worker_client::{Request, Target, WorkerOptions, ask_at, ask_worker, target};
use crate::config::environment::Environment;

/// Ask the running worker whether it is well: exit code 0 if so, else 1
///
/// Asks /health for 3 seconds at most: through the worker's admin socket, which needs neither TLS nor login, else on the
/// port of --listen, on this machine.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  HEALTHCHECK CMD [\"fulfillment-worker\", \"healthcheck\"]
      in a Dockerfile
  fulfillment-worker healthcheck --ready
      whether it is at work
  fulfillment-worker healthcheck --url unix:/run/worker.sock:/readyz
      the same through another Unix socket")]
pub(super) struct Arguments {
    /// Ask /readyz instead of /health: whether the worker is at work
    #[arg(long, conflicts_with = "url")]
    ready: bool,

    /// What to ask instead: http://, https:// or unix:SOCKET:/PATH. The certificate is verified by the system's authorities,
    /// except on a loopback address, which has no name that it could show
    #[arg(long, value_name = "URL", value_parser = target)]
    url: Option<Target>,

    #[command(flatten)]
    worker: WorkerOptions,
}

pub(super) async fn healthcheck(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    let body = match &arguments.url {
        Some(target) => ask_at(target, Request::Get).await?,
        None => {
            let path = if arguments.ready { "/readyz" } else { "/health" };
            ask_worker(&arguments.worker, environment, path, Request::Get).await?
        }
    };
    output::print(body.lines().next().unwrap_or("ok"))
}
