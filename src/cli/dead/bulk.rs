//! `dead retry` and `dead discard` of so many dead letters that it is a job.

use super::outcome::Outcome;
use super::selection::DecideOptions;
use crate::cli::failure::Failure;
use crate::cli::jobs::bulk::{self, Bulk, Came};
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::operations::plural;
use crate::port::jobs::{JobKind, Task};

/// Makes the job, and has it worked off unless it is left to the workers.
pub(super) async fn carry_out(
    kind: JobKind,
    options: &DecideOptions,
    rate: Option<u32>,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let (selection, json) = (options.selection.selection(), options.format.is_json());
    let task = if kind == JobKind::DeadRetry { Task::DeadRetry(selection) } else { Task::DeadDiscard(selection) };
    let bulk = Bulk { task, author: &options.author, rate, dry_run: false, detach: options.detach };
    let job = match bulk.carry_out(options.reach.way(origins)?, origins, environment).await? {
        Came::None(made) => return bulk::show_none(&made, kind, json),
        Came::Left(job) => return bulk::show_left(job, json),
        Came::Worked(job) => job,
    };
    let mut outcome = Outcome::new(&[], false);
    (outcome.skipped, outcome.refused, outcome.job) = (job.skipped, job.refused, Some(job.id));
    let did = if kind == JobKind::DeadRetry { &mut outcome.redriven } else { &mut outcome.discarded };
    *did = job.done;
    let done = match bulk::check(&job) {
        Err(Failure::Work(problem)) if job.refused == 0 => Err(problem),
        _ => Ok(()),
    };
    let parts = [
        (job.done, format!("{} {}", plural(job.done, kind.noun()), kind.participle())),
        (job.skipped, format!("{} skipped", job.skipped)),
    ];
    outcome.report(done, json, &parts)
}
