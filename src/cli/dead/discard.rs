//! `dead discard`: closes dead letters, and leaves their orders as they are.

use clap::Args;

use super::bulk;
use super::outcome::{Outcome, each_page};
use super::selection::DecideOptions;
use crate::cli::failure::Failure;
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::domain::dead_letter::Resolution;
use crate::operations::plural;
use crate::port::dead_letters::StoredDeadLetter;
use crate::port::jobs::JobKind;
use crate::service::drain_on_signals;

/// Dead letters in one transaction.
const BATCH: usize = 100;

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
    let Arguments { options } = arguments;
    let decision = options.author.decision(environment)?;
    let (_, store) = options.connect.open_store(origins).await?;
    let store = store.dead_letters;
    if let Some(counted) = bulk::counted(&options, &*store).await? {
        return bulk::carry_out(JobKind::DeadDiscard, options, &counted, decision, None, origins).await;
    }
    let stop = drain_on_signals()?;
    let mut outcome = Outcome::new(&options.selection.ids, options.dry_run);
    let discard = async |page: &[StoredDeadLetter]| {
        let ids: Vec<i64> = page.iter().map(|letter| letter.id).collect();
        let marked = if outcome.dry_run {
            page.iter().map(|letter| letter.resolved.is_none()).collect()
        } else {
            let marking = store.resolve(&ids, Resolution::Discarded, &decision);
            marking.await.map_err(|error| error.to_string())?
        };
        for (id, marked) in ids.into_iter().zip(marked) {
            outcome.saw(id);
            if marked {
                outcome.discarded += 1;
            } else {
                outcome.skip(id, "it has a decision already");
            }
        }
        Ok(())
    };
    let done = each_page(&*store, options.selection.filter(), BATCH, &stop, discard).await;
    let parts = [
        (outcome.discarded, format!("{} discarded", plural(outcome.discarded, "dead letter"))),
        (outcome.skipped, format!("{} skipped", outcome.skipped)),
    ];
    outcome.report(done, options.json, &parts)
}
