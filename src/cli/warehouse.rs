//! `warehouse`: the reference counterpart of the HTTP fulfiller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use fulfillment_warehouse::{Behaviour, OpenError, Settings, Warehouse};

use super::failure::Failure;
use super::output;
use crate::admin;
use crate::config::{self, LogSettings, Origin, Secret, values};
use crate::observe::logging;
use crate::service::{HangUp, Signals};

/// Run a reference warehouse to try the HTTP fulfiller on: correct by default, faulty on request
///
/// Takes orders by POST /shipments, ships each idempotency key once, and refuses requests that break the contract
/// (docs/warehouse.openapi.yaml). GET /stats counts what it did. GET /behaviour shows its behaviour, PUT /behaviour
/// changes it, with the options below as JSON keys (cut_before for --cut-before). Keys stay in memory until it ends.
/// Not for production: every caller who has the token, or everybody without one, can change its behaviour.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker warehouse
      then, in another terminal: fulfillment-worker run --fulfiller http://127.0.0.1:8080/shipments
  fulfillment-worker warehouse --latency 50ms..200ms --cut-after 0.05 --record calls.jsonl
      loses one answer in twenty, and records each call
  curl -X PUT localhost:8080/behaviour -d '{\"errors\": 1, \"error_status\": 503, \"error_retry_after_seconds\": 5}'
      fails every call from now on; '{}' ends that")]
pub(super) struct Arguments {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = values::address)]
    listen: SocketAddr,

    /// Append a line of JSON for each call to this file, and take the keys already in it as shipped
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Answer 401 without this bearer token to every request but GET /health
    #[arg(long, value_name = "TOKEN")]
    token: Option<Secret>,

    /// File with the bearer token, which other users can't see as they can a command line
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,

    /// Answer 401 to shipments without a Standard Webhooks signature by this secret; may be given several times
    #[arg(long = "secret", value_name = "whsec_BASE64")]
    secrets: Vec<Secret>,

    /// File with these secrets, separated by blanks or lines
    #[arg(long, value_name = "FILE", conflicts_with = "secrets")]
    secret_file: Option<PathBuf>,

    /// Seed that makes the faults repeatable
    #[arg(long, value_name = "N", value_parser = values::seed)]
    seed: Option<u64>,

    /// Log filter: a level, or one such as `warn,fulfillment_worker=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = values::log_filter)]
    log: String,

    #[command(flatten)]
    behaviour: Behaviour,
}

pub(super) async fn warehouse(arguments: Arguments) -> Result<(), Failure> {
    logging::start(&LogSettings {
        format: None,
        filter: arguments.log,
        filter_origin: Origin::CommandLine,
        service_name: "fulfillment-warehouse".to_owned(),
    })
    .map_err(Failure::work)?;
    let token = in_file("--token-file", arguments.token_file)?;
    let secrets = in_file("--secret-file", arguments.secret_file)?;
    let secrets = secrets.as_ref().map_or("", |secrets| secrets.expose());
    let given = arguments.secrets.iter().map(|secret| secret.expose());
    let warehouse = Warehouse::open(Settings {
        behaviour: arguments.behaviour,
        seed: arguments.seed,
        record: arguments.record,
        token: token.or(arguments.token).map(|token| token.expose().to_owned()),
        secrets: secrets.split_whitespace().chain(given).map(str::to_owned).collect(),
    })?;
    let listener = admin::bind(arguments.listen).await.map_err(Failure::work)?;
    let address = listener.local_addr().map_err(Failure::work)?;
    let stop = Signals { hang_up: HangUp::Drain, ..Signals::default() }.listen()?;
    output::print(&format!("http://{address}/shipments"))?;
    Arc::new(warehouse).serve(listener, stop).await;
    Ok(())
}

fn in_file(option: &str, path: Option<PathBuf>) -> Result<Option<Secret>, Failure> {
    let Some(path) = path else { return Ok(None) };
    match config::read_secret(&path) {
        Ok(text) => Ok(Some(Secret::new(text.to_string()))),
        Err(problem) => Err(Failure::Usage(format!("{option} {}: {problem}", path.display()))),
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Record(error) => Self::Work(error.to_string()),
            OpenError::Behaviour(_) | OpenError::Access(_) => Self::Usage(error.to_string()),
        }
    }
}
