//! `warehouse`: the reference counterpart of the HTTP fulfiller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use fulfillment_warehouse::{Behaviour, OpenError, Settings, Warehouse};

use super::failure::Failure;
use super::{output, run};
use crate::admin;
use crate::cli::signals;
use crate::config::values::{self, Opaque};
use crate::config::{LogSettings, Origin};

/// A reference warehouse, to try the HTTP fulfiller on: right by default, wrong on command
///
/// Takes orders by POST /shipments, ships each idempotency key once, and holds callers to the contract
/// (docs/warehouse.openapi.yaml). GET /stats tells what it did. GET /behaviour shows how it behaves, PUT /behaviour
/// changes that, with the names below in JSON (cut_before for --cut-before). Keys stay in memory until it ends. Not
/// for production: whoever reaches it can change how it behaves.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker warehouse
      then, in another terminal: fulfillment-worker run --fulfiller http://127.0.0.1:8080/shipments
  fulfillment-worker warehouse --latency 50ms..200ms --cut-after 0.05 --record calls.jsonl
      loses one answer in twenty, and writes down what it did
  curl -X PUT localhost:8080/behaviour -d '{\"errors\": 1, \"error_status\": 503, \"error_retry_after_seconds\": 5}'
      is out of order from now on; '{}' mends it")]
pub(super) struct Arguments {
    /// Where it is served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = values::address)]
    listen: SocketAddr,

    /// Append a line of JSON for each call to this file, and remember the keys that are in it
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Answer 401 without this bearer token
    #[arg(long, value_name = "TOKEN")]
    token: Option<Opaque>,

    /// Answer 401 without a Standard Webhooks signature by this secret; may be given several times
    #[arg(long = "secret", value_name = "whsec_BASE64")]
    secrets: Vec<Opaque>,

    /// Makes repeatable what befalls which call
    #[arg(long, value_name = "N", value_parser = values::seed)]
    seed: Option<u64>,

    /// What is logged: a level or a filter, such as `debug`
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = values::log_filter)]
    log: String,

    #[command(flatten)]
    behaviour: Behaviour,
}

pub(super) async fn warehouse(arguments: Arguments) -> Result<(), Failure> {
    run::start_logging(&LogSettings { format: None, filter: arguments.log, filter_origin: Origin::CommandLine })?;
    let warehouse = Warehouse::open(Settings {
        behaviour: arguments.behaviour,
        seed: arguments.seed,
        record: arguments.record,
        token: arguments.token.map(|token| token.expose().to_owned()),
        secrets: arguments.secrets.iter().map(|secret| secret.expose().to_owned()).collect(),
    })?;
    let listener = admin::bind(arguments.listen).await.map_err(|error| Failure::Work(error.to_string()))?;
    let address = listener.local_addr().map_err(|error| Failure::Work(error.to_string()))?;
    let stop =
        signals::on_signals().map_err(|error| Failure::Work(format!("signals can't be listened for: {error}")))?;
    output::print(&format!("http://{address}/shipments"))?;
    Arc::new(warehouse).serve(listener, stop).await;
    Ok(())
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Record(error) => Self::Work(error.to_string()),
            OpenError::Behaviour(_) | OpenError::Access(_) => Self::Usage(error.to_string()),
        }
    }
}
