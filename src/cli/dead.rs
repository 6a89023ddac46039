//! `dead`: the messages that were given up, for a person to look at, retry or discard.

use clap::{Args, Subcommand};

use super::failure::Failure;
use crate::config::Origins;
use crate::config::environment::Environment;

mod discard;
pub(super) mod letter;
mod list;
mod outcome;
mod retry;
mod selection;
mod show;

/// Look at dead letters, put them back to work, or close them
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker dead list                                     what waits for a decision
  fulfillment-worker dead show 7                                   one letter, with its message
  fulfillment-worker dead retry 7 --why 'back in stock'            put its order back to work
  fulfillment-worker dead discard 7 --why 'refunded by hand'       nothing more is to be done

A letter is never deleted: who decided what, when and why stays with it.")]
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
