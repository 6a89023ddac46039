//! `migrate`: the worker's own tables.

use clap::Args;

use super::failure::Failure;
use super::{connect, output};
use crate::WorkerId;
use crate::backend::sqlite::database as sqlite;
use crate::config::StoreTarget;
use crate::config::layers::Origins;
use crate::config::options::BackendOptions;
use crate::config::values::{self, Patience};
use crate::port::retrying::Retrying;
use crate::port::store::StoreError;
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
        let sql = match backends.store {
            StoreTarget::Postgres(_) => crate::backend::postgres::migration_sql(),
            StoreTarget::Sqlite(_) => sqlite::migration_sql(),
        };
        return output::print(sql.trim_end());
    }
    let store = backends::open_store(&backends, &WorkerId::fresh())?;
    let mut say = connect::patient_notes();
    let applied = Retrying { limit: arguments.wait.limit(), ..Retrying::default() }
        .until_answered(StoreError::is_transient, |error, _| say(&error.to_string()), |_| store.schema.migrate())
        .await
        .map_err(|error| Failure::Work(error.to_string()))?;
    for migration in &applied {
        output::print(&format!("applied {migration}"))?;
    }
    if applied.is_empty() { output::print("nothing to do: every table is up to date") } else { Ok(()) }
}
