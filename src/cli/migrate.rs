//! `migrate`: the worker's own tables.

use clap::Args;

use super::connect::{self, ConnectOptions};
use super::failure::Failure;
use super::output;
use crate::config::Origins;
use crate::config::fallback::Fallback;
use crate::domain::worker_id::WorkerId;
use crate::port::store::StoreError;
use crate::service::backends;

/// Create or update the worker's own tables
///
/// In Postgres these are the tables of the schema `fulfillment`; `orders` and `products` belong to the order API and
/// stay as they are. In an embedded database it creates `orders` and `products` too. Safe to run at any time, and
/// several times at once.
#[derive(Debug, Args)]
#[command(mut_arg("wait", |wait| wait.default_value("30s")))]
#[command(after_long_help = "\
Examples:
  DATABASE_URL=postgres://owner@db/shop fulfillment-worker migrate
      as a role that may create tables, before `run --migrate off` as one that may not
  fulfillment-worker migrate --grant-to fulfillment_worker
      and gives that role what a worker needs of them, after each upgrade
  fulfillment-worker migrate --print --store postgres://db/shop | psql
      through psql")]
pub(super) struct Arguments {
    /// Print the SQL for the kind of store in --store, and change nothing
    #[arg(long)]
    print: bool,

    /// Also give this role what a worker needs of these tables, and nothing else (Postgres)
    #[arg(long, value_name = "ROLE", value_parser = role)]
    grant_to: Option<String>,

    #[command(flatten)]
    connect: ConnectOptions,
}

/// Postgres takes this name for every role, quoted or not.
const EVERYBODY: &str = "public";

fn role(text: &str) -> Result<String, String> {
    match text {
        EVERYBODY => Err("is every role of the server; name one".to_owned()),
        _ if text.is_empty() || text.chars().any(char::is_control) => Err("must be the name of a role".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

pub(super) async fn migrate(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let backends = arguments.connect.backends.resolve_store(origins, Fallback::detect())?;
    let grants = match &arguments.grant_to {
        Some(role) => backends::grant_sql(&backends.store, role)
            .ok_or_else(|| Failure::Usage("--grant-to: an embedded database has no roles".to_owned()))?,
        None => String::new(),
    };
    if arguments.print {
        let migrations = backends::migration_sql(&backends.store)?;
        return output::print_own(format!("{migrations}{grants}").trim_end());
    }
    let store = backends::open_store(&backends, &WorkerId::fresh())?;
    let applied = connect::until_answered(arguments.connect.wait, StoreError::is_transient, async || {
        store.schema.migrate().await
    })
    .await?;
    for migration in &applied {
        output::print(&format!("applied {migration}"))?;
    }
    if applied.is_empty() {
        output::print("nothing to do: every table is up to date")?;
    }
    if let Some(role) = &arguments.grant_to {
        store.schema.grant(role).await.map_err(Failure::work)?;
        output::print(&format!("granted to {role} what a worker needs"))?;
    }
    Ok(())
}
