//! A page of a job is decided about.

use std::collections::HashSet;
use std::time::Duration;

use super::{JobError, JobRunner, Work};
use crate::domain::dead_letter::{Resolution, RetryStep};
use crate::domain::order::OrderId;
use crate::operations::decide::{Decide, Decisions};
use crate::operations::redrive::{Redrive, RedriveError};
use crate::port::dead_letters::{DeadLetterFilter, Redriven, StoredDeadLetter};
use crate::port::decisions::{Decided, HoldEnd, Ruling};
use crate::port::jobs::{Job, Task};
use crate::port::store::StoreError;

/// What became of a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) done: u64,
    pub(super) skipped: u64,
    pub(super) refused: u64,
    /// What a person should know of it.
    pub(super) problem: Option<String>,
}

impl JobRunner {
    /// A page that `is_repeated` was decided about by somebody who may have died in the middle of it.
    pub(super) async fn decide(&self, work: &Work, is_repeated: bool) -> Result<Tally, JobError> {
        let (job, ids) = (&work.job, &work.job.progress.page);
        match &work.task {
            Task::DeadRetry(_) => self.retry(job, ids).await,
            Task::DeadDiscard(_) => self.discard(job, ids).await,
            Task::Cancel(_) => {
                let decisions = self.deciding(job).cancel(&orders(ids)).await?;
                self.tally(job, decisions, is_repeated).await
            }
            Task::Hold(_, end) => {
                let decisions = self.deciding(job).hold(&orders(ids), end_of(job, *end)?).await;
                self.tally(job, decisions, is_repeated).await
            }
            Task::Release(_) => {
                let decisions = self.deciding(job).release(&orders(ids)).await;
                self.tally(job, decisions, is_repeated).await
            }
        }
    }

    async fn tally(&self, job: &Job, decisions: Decisions, is_repeated: bool) -> Result<Tally, JobError> {
        if let Some(error) = decisions.ended {
            return Err(error.into());
        }
        let is_repeated = is_repeated || decisions.repeated;
        let mut tally = Tally::default();
        for (order_id, decided) in decisions.orders {
            match decided {
                Decided::Done(_) => tally.done += 1,
                Decided::AsItWas(_) if is_repeated && self.has_decided(job, order_id).await? => tally.done += 1,
                Decided::AsItWas(_) | Decided::OrderIs(_) | Decided::Unknown => tally.skipped += 1,
                Decided::Locked => tally.refuse("order", order_id.0, "another transaction has locked its row"),
                Decided::Refused(problem) => tally.refuse("order", order_id.0, &problem),
            }
        }
        if let Some(error) = decisions.not_pushed {
            tally.problem = Some(format!("{error}; workers find the released orders within minutes"));
        }
        Ok(tally)
    }

    /// Whether this job has decided about an order before, and whoever had it died or lost the answer. Without a timeline nobody
    /// can tell; most likely it has.
    async fn has_decided(&self, job: &Job, order_id: OrderId) -> Result<bool, StoreError> {
        let timeline = || self.backends.reports.timeline(order_id);
        let entries = self.patiently(StoreError::is_transient, timeline).await?;
        let stamp = job.stamp();
        let is_ours = |note: &str| note.ends_with(&stamp);
        Ok(entries.is_empty() || entries.iter().filter_map(|entry| entry.note.as_deref()).any(is_ours))
    }

    fn deciding(&self, job: &Job) -> Decide {
        Decide {
            queue: self.backends.queue.clone(),
            store: self.backends.decisions.clone(),
            activity: None,
            ruling: Ruling { decision: job.stamped(), dry_run: false },
            retrying: self.retrying(),
        }
    }

    async fn retry(&self, job: &Job, ids: &[i64]) -> Result<Tally, JobError> {
        let letters = self.letters(ids).await?;
        let ours = decided_by(job, &letters);
        let mut tally = Tally { skipped: (ids.len() - letters.len()) as u64, ..Tally::default() };
        let (cut, whole): (Vec<_>, Vec<_>) = letters.iter().partition(|letter| letter.is_cut());
        tally.refused += cut.len() as u64;
        let ids: Vec<i64> = whole.iter().map(|letter| letter.id).collect();
        if ids.is_empty() {
            return Ok(tally);
        }
        let redrive = Redrive {
            queue: self.backends.queue.clone(),
            store: self.backends.dead_letters.clone(),
            activity: None,
            decision: job.stamped(),
            retrying: self.retrying(),
        };
        let later = |error: RedriveError| JobError::Later(error.to_string());
        let (answers, pushed) = redrive.batch(&ids).await.map_err(later)?;
        // Else the page is repeated: what has moved by now is pushed again.
        pushed.map_err(later)?;
        for (id, answer) in ids.iter().zip(&answers) {
            match answer {
                Redriven::Decided { step: RetryStep::Redrive | RetryStep::Push, .. } => tally.done += 1,
                Redriven::Decided { step: RetryStep::PushAgain | RetryStep::Retried, .. } if ours.contains(id) => {
                    tally.done += 1;
                }
                Redriven::Decided { .. } | Redriven::Unknown => tally.skipped += 1,
                Redriven::Refused(problem) => tally.refuse("dead letter", *id, problem),
            }
        }
        Ok(tally)
    }

    async fn discard(&self, job: &Job, ids: &[i64]) -> Result<Tally, JobError> {
        let ours = decided_by(job, &self.letters(ids).await?);
        let decision = job.stamped();
        let mark = || self.backends.dead_letters.resolve(ids, Resolution::Discarded, &decision);
        let marked = self.patiently(StoreError::is_transient, mark).await?;
        let done = ids.iter().zip(marked).filter(|(id, marked)| *marked || ours.contains(id)).count() as u64;
        Ok(Tally { done, skipped: ids.len() as u64 - done, ..Tally::default() })
    }

    async fn letters(&self, ids: &[i64]) -> Result<Vec<StoredDeadLetter>, StoreError> {
        let filter = DeadLetterFilter { ids: Some(ids.to_vec()), ..DeadLetterFilter::default() };
        let list = || self.backends.dead_letters.list(&filter, 0, ids.len());
        self.patiently(StoreError::is_transient, list).await
    }
}

impl Tally {
    fn refuse(&mut self, what: &str, id: i64, problem: &str) {
        self.refused += 1;
        self.problem.get_or_insert_with(|| format!("{what} {id}: {problem}"));
    }
}

fn orders(ids: &[i64]) -> Vec<OrderId> {
    ids.iter().copied().map(OrderId).collect()
}

/// Letters that this job has decided about already, before whoever had it died.
fn decided_by(job: &Job, letters: &[StoredDeadLetter]) -> HashSet<i64> {
    let stamp = job.stamp();
    let is_ours =
        |letter: &&StoredDeadLetter| letter.resolved.as_ref().is_some_and(|resolved| resolved.reason.contains(&stamp));
    letters.iter().filter(is_ours).map(|letter| letter.id).collect()
}

/// A hold for a time lasts from when the job was made: the same for each of its orders, also for one that is decided about twice.
fn end_of(job: &Job, end: HoldEnd) -> Result<HoldEnd, JobError> {
    let made_at = job.at.as_microsecond();
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let until = match end {
        HoldEnd::Never => return Ok(HoldEnd::Never),
        HoldEnd::After(time) => made_at.saturating_add(micros(time)),
        HoldEnd::At(until) => until,
    };
    if until <= made_at.saturating_add(micros(job.age)) {
        return Err(JobError::Hopeless("the time until which it was to hold orders is over".to_owned()));
    }
    Ok(HoldEnd::At(until))
}
