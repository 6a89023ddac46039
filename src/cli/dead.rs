//! `dead`: dead letters, for a person to look at, retry or discard.

use clap::{Args, Subcommand};

use super::failure::Failure;
use crate::config::Origins;
use crate::config::environment::Environment;

mod bulk;
mod deciding;
mod discard;
mod grouped;
pub(super) mod letter;
mod list;
mod outcome;
mod retry;
mod selection;
mod show;
mod source;

/// Look at dead letters, retry them, or discard them
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker dead list                                     list those without a decision
  fulfillment-worker dead show 7                                   show one with its message
  fulfillment-worker dead retry 7 --why 'back in stock'            retry its order
  fulfillment-worker dead discard 7 --why 'refunded by hand'       close it

Dead letters are never deleted: each keeps the decision, its time, its author and the reason.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Arguments),
    Show(show::Arguments),
    Retry(retry::Arguments),
    Discard(discard::Arguments),
}

pub(super) async fn dead(arguments: Arguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    match arguments.command {
        Command::List(arguments) => list::list(arguments, origins).await,
        Command::Show(arguments) => show::show(arguments, origins).await,
        Command::Retry(arguments) => retry::retry(arguments, origins, environment).await,
        Command::Discard(arguments) => discard::discard(arguments, origins, environment).await,
    }
}
