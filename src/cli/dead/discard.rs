//! `dead discard`: closes dead letters, and leaves their orders as they are.

use clap::Args;

use super::outcome::{Outcome, plural};
use super::selection::{DecisionOptions, Selection};
use crate::cli::connect;
use crate::cli::failure::Failure;
use crate::cli::signals;
use crate::config::environment::Environment;
use crate::config::layers::Origins;
use crate::config::options::BackendOptions;
use crate::config::values::{self, Patience};
use crate::domain::dead_letter::Resolution;
use crate::port::dead_letters::{DeadLetters, Decision, StoredDeadLetter};
use crate::port::store::StoreError;

/// Letters decided about in one transaction.
const BATCH: usize = 100;

/// Close dead letters: nothing more is to be done for them
///
/// Their orders stay `failed`. The letters stay too, marked, and can still be retried by their ids.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker dead discard 7 8 --why 'refunded by hand'
  fulfillment-worker dead discard --reason invalid_message --older-than 7d --why 'the producer is fixed' --dry-run

JSON: discarded, skipped, refused, missing (ids that are not there), dry_run; redriven, pushed, pushed_again are 0.")]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    decision: DecisionOptions,

    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the summary as one line of JSON
    #[arg(long)]
    json: bool,

    /// How long to wait for the store: a duration, or `forever`
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::patience)]
    wait: Patience,

    #[command(flatten)]
    backends: BackendOptions,
}

pub(super) async fn discard(arguments: Arguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    let backends = arguments.backends.resolve(origins)?;
    let decision = arguments.decision.decision(environment);
    let store = connect::store(&backends, arguments.wait.limit()).await?.dead_letters;
    let stop = signals::on_signals().map_err(|error| Failure::Work(error.to_string()))?;
    let mut outcome = Outcome::new(&arguments.selection.ids, arguments.dry_run);
    let failed = |outcome: &Outcome, problem: String| {
        Failure::Work(format!("{problem}; {} discarded before", plural(outcome.discarded, "dead letter")))
    };
    let mut filter = arguments.selection.filter();
    let count = store.count(&filter).await.map_err(|error| failed(&outcome, error.to_string()))?;
    filter.up_to = Some(count.last_id);
    let mut after = 0;
    loop {
        if stop.is_cancelled() {
            return Err(failed(&outcome, "interrupted".to_owned()));
        }
        let page = store.list(&filter, after, BATCH).await;
        let page = page.map_err(|error| failed(&outcome, error.to_string()))?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let done = discard_page(&*store, &page, &decision, &mut outcome).await;
        done.map_err(|error| failed(&outcome, error.to_string()))?;
    }
    outcome.report(arguments.json, |outcome| {
        format!("{} discarded, {} skipped", plural(outcome.discarded, "dead letter"), outcome.skipped)
    })
}

async fn discard_page(
    store: &dyn DeadLetters,
    page: &[StoredDeadLetter],
    decision: &Decision,
    outcome: &mut Outcome,
) -> Result<(), StoreError> {
    let ids: Vec<i64> = page.iter().map(|letter| letter.id).collect();
    let marked = if outcome.dry_run {
        page.iter().map(|letter| letter.resolved.is_none()).collect()
    } else {
        store.resolve(&ids, Resolution::Discarded, decision).await?
    };
    for (id, marked) in ids.into_iter().zip(marked) {
        outcome.saw(id);
        if marked {
            outcome.discarded += 1;
        } else {
            outcome.skip(id, "something was decided about it before");
        }
    }
    Ok(())
}
