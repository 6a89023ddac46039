//! `dead retry` and `dead discard` of so many dead letters that it is a job.

use super::outcome::Outcome;
use super::selection::DecideOptions;
use crate::cli::failure::Failure;
use crate::cli::jobs::{self, Bulk};
use crate::config::Origins;
use crate::operations::jobs::Counted;
use crate::operations::plural;
use crate::port::dead_letters::{DeadLetters, Decision};
use crate::port::jobs::{JobKind, Task};
use crate::service::drain_on_signals;

/// More are a job: it goes on if the process is killed.
const MOST_AT_ONCE: u64 = 1_000;

/// What is to be a job, if it is to be one: more than [`MOST_AT_ONCE`] by a filter, or what is left to the workers.
pub(super) async fn counted(options: &DecideOptions, store: &dyn DeadLetters) -> Result<Option<Counted>, Failure> {
    if options.dry_run || !options.selection.ids.is_empty() {
        return Ok(None);
    }
    let count = store.count(&options.selection.filter()).await.map_err(Failure::work)?;
    let is_job = count.letters > if options.detach { 0 } else { MOST_AT_ONCE };
    Ok(is_job.then_some(Counted { matching: count.letters, up_to: count.last_id, is_partial: false }))
}

/// Makes the job, and works it off unless it is left to the workers.
pub(super) async fn carry_out(
    kind: JobKind,
    options: DecideOptions,
    counted: &Counted,
    decision: Decision,
    rate: Option<u32>,
    origins: &Origins,
) -> Result<(), Failure> {
    let (backends, opened) = options.connect.open(origins).await?;
    let filter = options.selection.filter();
    let task = if kind == JobKind::DeadRetry { Task::DeadRetry(filter) } else { Task::DeadDiscard(filter) };
    let (json, detach) = (options.json, options.detach);
    let job = Bulk { task, decision, rate, detach, dry_run: false, json }.make(&opened, counted).await?;
    if detach {
        return jobs::show_made(&job, json);
    }
    let job = jobs::carry_through(&opened, backends.lease, drain_on_signals()?, job.id).await?;
    let mut outcome = Outcome::new(&[], false);
    (outcome.skipped, outcome.job) = (job.progress.skipped, Some(job.id));
    let did = if kind == JobKind::DeadRetry { &mut outcome.redriven } else { &mut outcome.discarded };
    *did = job.progress.done;
    outcome.refused = job.progress.refused;
    let done = match jobs::check(&job) {
        Err(Failure::Work(problem)) if job.progress.refused == 0 => Err(problem),
        _ => Ok(()),
    };
    let parts = [
        (job.progress.done, format!("{} {}", plural(job.progress.done, kind.noun()), kind.participle())),
        (job.progress.skipped, format!("{} skipped", job.progress.skipped)),
    ];
    outcome.report(done, json, &parts)
}
