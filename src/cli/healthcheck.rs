//! `healthcheck`: asks the running worker, for container health checks without curl.

use clap::Args;
use url::Url;

use super::failure::Failure;
use super::output;
use super::worker_client::{Request, WorkerOptions, ask, of_this_machine};

/// Ask the running worker whether it is well: exit code 0 if so, else 1
///
/// Asks /health on the port of --listen, on this machine, for 3 seconds at most.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  HEALTHCHECK CMD [\"fulfillment-worker\", \"healthcheck\"]
      in a Dockerfile
  fulfillment-worker healthcheck --url http://127.0.0.1:2112/readyz
      readiness instead")]
pub(super) struct Arguments {
    /// What to ask instead
    #[arg(long, value_name = "URL", value_parser = plain_http)]
    url: Option<Url>,

    #[command(flatten)]
    worker: WorkerOptions,
}

fn plain_http(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err("must be http://HOST:PORT/PATH".to_owned()),
    }
}

pub(super) async fn healthcheck(arguments: Arguments) -> Result<(), Failure> {
    let url = match arguments.url {
        Some(url) => url,
        None => of_this_machine(arguments.worker.listen, "/health")?,
    };
    let body = ask(url, Request::Get).await?;
    output::print(body.lines().next().unwrap_or("ok"))
}
