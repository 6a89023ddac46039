//! `dead discard`: closes dead letters, and leaves their orders as they are.

use clap::Args;

use super::deciding;
use super::selection::DecideOptions;
use crate::cli::failure::Failure;
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::port::jobs::JobKind;

/// Discard dead letters: close them without a retry
///
/// Their orders stay `failed`. The dead letters stay too, marked, and you can still retry them by id.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker dead discard 7 8 --why 'refunded by hand'
  fulfillment-worker dead discard --reason invalid_message --older-than 7d --why 'the producer is fixed' --dry-run

JSON: discarded, skipped, refused, missing (ids that do not exist), dry_run, job (its number, or null); redriven, pushed,
pushed_again, cut are 0. With --detach: version, job (as of `jobs list`). More than 1,000 by a filter are a job, which goes on if this
process is killed (`jobs --help`).")]
pub(super) struct Arguments {
    #[command(flatten)]
    options: DecideOptions,
}

pub(super) async fn discard(arguments: Arguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    deciding::decide(JobKind::DeadDiscard, arguments.options, None, origins, environment).await
}
