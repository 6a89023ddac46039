//! `dead retry`: retries the orders of dead letters.

use std::num::NonZeroU32;

use clap::Args;

use super::deciding;
use super::selection::DecideOptions;
use crate::cli::decide::selection::rate;
use crate::cli::failure::Failure;
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::port::jobs::JobKind;

/// Retry the orders of dead letters
///
/// Moves each order from `failed` to `pending` and pushes its message. The order keeps its idempotency key and its
/// timeline, and its attempts start at 1 again. If there is no row, it pushes the message of the dead letter as it was.
/// Skips orders that are no longer `failed`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker dead retry 7 8 --why 'the colour is back in stock'
  fulfillment-worker dead retry --reason attempts_exhausted --newer-than 8h --why 'warehouse is up again' --dry-run
  fulfillment-worker dead retry --all --rate 50 --why 'after the outage'      50 per second

If it ends between the commit and the push, orders are `pending` without a message. The same command with the ids of the
dead letters pushes them again, and so does the reconciler of any worker. More than 1,000 by a filter are a job, which goes on if
this process is killed (`jobs --help`).

JSON: redriven (orders moved to pending), pushed (messages without a failed order), pushed_again (retried before, still
pending), skipped, refused, cut (only the first 64 KiB of their messages are kept), missing (ids that do not exist),
dry_run, job (its number, or null; then redriven are all that it retried). With --detach: version, job (as of `jobs list`).")]
pub(super) struct Arguments {
    /// Largest number of dead letters per second
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<NonZeroU32>,

    #[command(flatten)]
    options: DecideOptions,
}

pub(super) async fn retry(arguments: Arguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    deciding::decide(JobKind::DeadRetry, arguments.options, arguments.rate, origins, environment).await
}
