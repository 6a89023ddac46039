//! `dead show`: one dead letter, with its message.

use clap::Args;

use super::letter;
use crate::cli::connect::ConnectOptions;
use crate::cli::failure::Failure;
use crate::cli::output;
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

    /// Print one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectOptions,
}

pub(super) async fn show(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let (backends, store) = arguments.connect.open_store(origins).await?;
    let store = store.dead_letters;
    let filter = DeadLetterFilter { ids: Some(vec![arguments.id]), ..DeadLetterFilter::default() };
    let letters = store.list(&filter, 0, 1).await.map_err(Failure::work)?;
    let Some(letter) = letters.first() else {
        return Err(Failure::Work(format!("dead letter {} does not exist in {}", arguments.id, backends.store)));
    };
    output::show(arguments.json, &WholeLetterDocument::from(letter), || letter::whole(letter))
}
