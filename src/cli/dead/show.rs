//! `dead show`: one dead letter, with its message.

use clap::Args;

use super::letter;
use crate::cli::failure::Failure;
use crate::cli::{connect, output};
use crate::config::layers::Origins;
use crate::config::options::BackendOptions;
use crate::config::values::{self, Patience};
use crate::port::dead_letters::DeadLetterFilter;

/// Show everything about one dead letter, with its message
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker dead show 7
  fulfillment-worker dead show 7 --json | jq -r .payload

A message that is not UTF-8 is shown with its bytes escaped; control characters are escaped in any case.

JSON: as of `dead list`, with payload, or payload_base64 where that is not UTF-8; the other one is null.")]
pub(super) struct Arguments {
    /// Key of the letter
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,

    /// Print one line of JSON
    #[arg(long)]
    json: bool,

    /// How long to wait for the store: a duration, or `forever`
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::patience)]
    wait: Patience,

    #[command(flatten)]
    backends: BackendOptions,
}

pub(super) async fn show(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let backends = arguments.backends.resolve(origins)?;
    let store = connect::store(&backends, arguments.wait.limit()).await?.dead_letters;
    let filter = DeadLetterFilter { ids: Some(vec![arguments.id]), ..DeadLetterFilter::default() };
    let letters = store.list(&filter, 0, 1).await.map_err(|error| Failure::Work(error.to_string()))?;
    let Some(letter) = letters.first() else {
        return Err(Failure::Work(format!("there is no dead letter {} in {}", arguments.id, backends.store)));
    };
    if arguments.json {
        output::print_json(&letter::WholeJson::of(letter))
    } else {
        output::print(&letter::whole(letter))
    }
}
