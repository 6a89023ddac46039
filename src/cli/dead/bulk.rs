//! `dead retry` and `dead discard` of so many dead letters that it is a job.

use std::num::NonZeroU32;

use super::outcome::Outcome;
use super::selection::DecideOptions;
use crate::cli::failure::Failure;
use crate::cli::jobs::{self, Bulk};
use crate::cli::reach::Way;
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::operations::jobs::Counted;
use crate::operations::plural;
use crate::port::jobs::{JobKind, Task};
use crate::service::drain_on_signals;

/// Makes the job, and works it off unless it is left to the workers.
pub(super) async fn carry_out(
    kind: JobKind,
    options: DecideOptions,
    rate: Option<NonZeroU32>,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let Way::Stores(connect) = options.reach.way(origins)? else { return Err(Failure::Usage("not yet".to_owned())) };
    let (decision, rate) = (options.author.decision(environment)?, rate.map(NonZeroU32::get));
    let (backends, opened) = connect.open(origins).await?;
    let filter = options.selection.filter();
    let count = opened.store.dead_letters.count(&filter).await.map_err(Failure::work)?;
    let counted = &Counted { matching: count.letters, up_to: count.last_id, is_partial: false };
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
