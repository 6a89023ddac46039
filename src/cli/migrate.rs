//! `migrate`: the worker's own tables.

use std::time::Instant;

use clap::Args;

use super::failure::Failure;
use super::{connect, output};
use crate::WorkerId;
use crate::config::layers::Origins;
use crate::config::options::BackendOptions;
use crate::config::values::{self, Patience};
use crate::domain::retry;
use crate::service::backends;

/// Make or update the worker's own tables
///
/// In Postgres these are the tables of the schema `fulfillment`; `orders` and `products` belong to the order API and
/// are left as they are. In an embedded database `orders` and `products` are made too. Safe to run at any time and by
/// several at once.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  DATABASE_URL=postgres://owner@db/shop fulfillment-worker migrate
      with a role that may create tables; then let `run --migrate off` use one that may not
  fulfillment-worker migrate --print --store postgres://db/shop | psql
      by hand")]
pub(super) struct Arguments {
    /// Print the SQL for the kind of store that --store names, and change nothing
    #[arg(long)]
    print: bool,

    /// How long to wait for the store: a duration, or `forever`
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::patience)]
    wait: Patience,

    #[command(flatten)]
    backends: BackendOptions,
}

pub(super) async fn migrate(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let backends = arguments.backends.resolve(origins)?;
    if arguments.print {
        return output::print(backends::migration_sql(&backends.store)?.trim_end());
    }
    let store = backends::open_store(&backends, &WorkerId::fresh())?;
    let began = Instant::now();
    let mut say = connect::patient_notes();
    let mut failures = 0;
    let applied = loop {
        let error = match store.migrate().await {
            Ok(applied) => break applied,
            Err(error) => error,
        };
        failures += 1;
        match retry::dependency_pause(failures, began.elapsed(), arguments.wait.limit()) {
            Some(pause) if error.is_transient() => {
                say(&error.to_string());
                tokio::time::sleep(pause).await;
            }
            _ => return Err(Failure::Work(error.to_string())),
        }
    };
    for migration in &applied {
        output::print(&format!("applied {migration}"))?;
    }
    if applied.is_empty() { output::print("nothing to do: every table is up to date") } else { Ok(()) }
}
