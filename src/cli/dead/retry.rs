//! `dead retry`: retries the orders of dead letters.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::bulk;
use super::outcome::{Outcome, each_page};
use super::selection::DecideOptions;
use crate::cli::decide::selection::rate;
use crate::cli::failure::Failure;
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::domain::dead_letter::RetryStep;
use crate::operations::{plural, redrive};
use crate::port::dead_letters::{Redriven, StoredDeadLetter};
use crate::port::jobs::JobKind;
use crate::port::retrying::Retrying;
use crate::service::drain_on_signals;

/// Largest number of dead letters in one transaction.
const BATCH: u32 = 100;

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
    let Arguments { options, rate } = arguments;
    let decision = options.author.decision(environment)?;
    let (_, opened) = options.connect.open(origins).await?;
    if let Some(counted) = bulk::counted(&options, &*opened.store.dead_letters).await? {
        let rate = rate.map(NonZeroU32::get);
        return bulk::carry_out(JobKind::DeadRetry, options, &counted, decision, rate, origins).await;
    }
    let stop = drain_on_signals()?;
    let redrive = redrive::Redrive {
        queue: opened.queue.producer,
        store: opened.store.dead_letters.clone(),
        decision,
        retrying: Retrying { limit: options.connect.wait, stop: stop.clone() },
    };
    let mut outcome = Outcome::new(&options.selection.ids, options.dry_run);
    let mut retry = Retry { redrive, rate, stop: stop.clone(), next: Instant::now() };
    let limit = rate.map_or(BATCH, |rate| (rate.get() / 10).clamp(1, BATCH));
    let limit = usize::try_from(limit).unwrap_or(1);
    let retry_page = async |page: &[StoredDeadLetter]| retry.page(page, &mut outcome).await;
    let done = each_page(&*opened.store.dead_letters, options.selection.filter(), limit, &stop, retry_page).await;
    let parts = in_words(&outcome);
    outcome.report(done, options.json, &parts)
}

struct Retry {
    redrive: redrive::Redrive,
    rate: Option<NonZeroU32>,
    stop: CancellationToken,
    /// When the next batch is due.
    next: Instant,
}

impl Retry {
    async fn page(&mut self, page: &[StoredDeadLetter], outcome: &mut Outcome) -> Result<(), String> {
        page.iter().for_each(|letter| outcome.saw(letter.id));
        let (cut, page): (Vec<_>, Vec<_>) = page.iter().partition(|letter| letter.is_cut());
        for letter in cut {
            outcome.cut(letter.id);
        }
        if outcome.dry_run {
            for letter in &page {
                let resolution = letter.resolved.as_ref().map(|resolved| resolved.resolution);
                let step = RetryStep::of(&letter.reason, resolution, letter.order_state.as_ref());
                outcome.count(letter.id, letter.order_id.map(|order_id| order_id.0), &step);
            }
            return Ok(());
        }
        let ids: Vec<i64> = page.iter().map(|letter| letter.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.pause(ids.len()).await;
        let (answers, pushed) = self.redrive.batch(&ids).await.map_err(|error| error.to_string())?;
        let no_messages = matches!(pushed, Err(redrive::RedriveError::NoMessages { .. }));
        for (id, answer) in ids.into_iter().zip(&answers) {
            let awaits_push = matches!(answer, Redriven::Decided { step: RetryStep::Push | RetryStep::PushAgain, .. });
            if !(no_messages && awaits_push) {
                record(outcome, id, answer);
            }
        }
        pushed.map_err(|error| error.to_string())
    }

    /// Waits until the next batch of `letters` is due, or `stop` is cancelled.
    async fn pause(&mut self, letters: usize) {
        let Some(rate) = self.rate else { return };
        let due = self.next.max(Instant::now());
        self.stop.run_until_cancelled(tokio::time::sleep_until(due.into())).await;
        let letters = u32::try_from(letters).unwrap_or(u32::MAX);
        self.next = due + Duration::from_secs(1).saturating_mul(letters) / rate.get();
    }
}

fn record(outcome: &mut Outcome, letter_id: i64, answer: &Redriven) {
    match answer {
        Redriven::Decided { step, order_id, .. } => outcome.count(letter_id, order_id.map(|id| id.0), step),
        Redriven::Unknown => outcome.skip(letter_id, "it no longer exists"),
        Redriven::Refused(why) => outcome.refuse(letter_id, why),
    }
}

fn in_words(outcome: &Outcome) -> [(u64, String); 4] {
    [
        (outcome.redriven, format!("{} moved to pending", plural(outcome.redriven, "order"))),
        (outcome.pushed, format!("{} pushed", plural(outcome.pushed, "message"))),
        (outcome.pushed_again, format!("{} pushed again", plural(outcome.pushed_again, "message"))),
        (outcome.skipped, format!("{} skipped", outcome.skipped)),
    ]
}
