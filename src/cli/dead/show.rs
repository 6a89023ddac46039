//! `dead show`: one dead letter, with its message.

use crate::cli::format::FormatOptions;
use clap::Args;

use super::letter;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::reach::{ReachOptions, Way};
use crate::config::Origins;
use crate::operations::documents::letters::WholeLetterDocument;
use crate::port::dead_letters::DeadLetterFilter;

/// Show one dead letter with its message
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker dead show 7
  fulfillment-worker dead show 7 --json | jq -r .payload

Control characters of the message are escaped, and all its bytes if it is not UTF-8.

JSON: as of `dead list`, with payload, or payload_base64 if the message is not UTF-8; the other one is null.")]
pub(super) struct Arguments {
    /// Id of the dead letter
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
}

pub(super) async fn show(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let id = arguments.id;
    let (letter, place): (Option<WholeLetterDocument>, String) = match arguments.reach.way(origins)? {
        Way::Server(server) => (server.find(&format!("/dead-letters/{id}")).await?, format!("the store of {server}")),
        Way::Stores(connect) => {
            let (backends, store) = connect.open_store(origins).await?;
            let filter = DeadLetterFilter { ids: Some(vec![id]), ..DeadLetterFilter::default() };
            let letters = store.dead_letters.list(&filter, 0, 1).await.map_err(Failure::work)?;
            (letters.first().map(WholeLetterDocument::from), backends.store.to_string())
        }
    };
    match letter {
        Some(letter) => output::show(arguments.format.is_json(), &letter, || letter::whole(&letter)),
        None => Err(Failure::Work(format!("dead letter {id} does not exist in {place}"))),
    }
}
