//! Jobs as JSON.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::domain::label::Label;
use crate::operations::cursor::List;
use crate::operations::jobs::counted::Counted;
use crate::port::jobs::{Job, Progress};

/// The list's name in cursors.
pub const JOBS: &str = "jobs";

/// What somebody decided about everything that matches a filter.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobJson {
    /// Its number, which grows.
    pub id: i64,
    /// `dead_retry`, `dead_discard`, `cancel`, `hold`, `release`, or of a version to come.
    pub kind: String,
    /// `waiting` (for a worker, or after a failure), `working`, `done`, `cancelled` or `failed`.
    pub state: String,
    /// The filter, by the names of its fields; of a hold, with how long it lasts.
    #[schema(value_type = Option<Object>)]
    pub selection: Option<Box<RawValue>>,
    /// Who decided.
    pub by: String,
    /// Why.
    pub why: String,
    /// How many matched when it was made, as far as they were counted.
    pub matching: u64,
    /// For how many it did what it was to do.
    pub done: u64,
    /// For how many there was nothing to do.
    pub skipped: u64,
    /// For how many it could not be done.
    pub refused: u64,
    /// At most so many per second; null where it goes as fast as it can.
    pub rate: Option<u32>,
    /// Why it isn't getting on.
    pub problem: Option<String>,
    /// The worker that has it.
    pub worker: Option<String>,
    /// When it was made, UTC.
    pub made_at: String,
    /// How long ago that was.
    pub age_seconds: f64,
    /// When it ended, UTC.
    pub ended_at: Option<String>,
}

impl From<&Job> for JobJson {
    fn from(job: &Job) -> Self {
        let Progress { done, skipped, refused, .. } = job.progress;
        Self {
            id: job.id,
            kind: job.kind.clone(),
            state: state(job).to_owned(),
            selection: RawValue::from_string(job.selection.clone()).ok(),
            by: job.decision.by.clone(),
            why: job.decision.reason.clone(),
            matching: job.matching,
            done,
            skipped,
            refused,
            rate: job.rate,
            problem: job.progress.problem.clone(),
            worker: job.left.map(|_| job.holder.clone()),
            made_at: job.at.to_string(),
            age_seconds: job.age.as_secs_f64(),
            ended_at: job.ended.map(|(_, at)| at.to_string()),
        }
    }
}

/// `waiting`, `working`, or how it ended.
pub fn state(job: &Job) -> &'static str {
    match (job.ended, job.left) {
        (Some((outcome, _)), _) => outcome.as_str(),
        (None, Some(_)) if !job.holder.is_empty() => "working",
        (None, _) => "waiting",
    }
}

/// A page of jobs, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobsDocument {
    /// Of those that have ended, the last 1,000 are kept.
    pub jobs: Vec<JobJson>,
    /// Leads to the next page of the API; null on the last one.
    pub next_cursor: Option<String>,
}

impl JobsDocument {
    /// At most `limit` of `jobs`, the newest first, that were made before the job `before`.
    pub fn page(jobs: &[Job], before: Option<i64>, limit: usize) -> Self {
        let mut older = jobs.iter().filter(|job| before.is_none_or(|before| job.id < before));
        let page: Vec<&Job> = older.by_ref().take(limit).collect();
        let next = older.next().and(page.last()).map(|last| List(JOBS, &()).cursor(&last.id.to_string()));
        Self { jobs: page.into_iter().map(JobJson::from).collect(), next_cursor: next }
    }
}

/// One job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobDocument {
    /// It.
    pub job: JobJson,
}

impl From<&Job> for JobDocument {
    fn from(job: &Job) -> Self {
        Self { job: job.into() }
    }
}

/// What came of a job that was to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeJobDocument {
    /// Whether nothing was to be made.
    pub dry_run: bool,
    /// How many match, as far as they were counted.
    pub matching: u64,
    /// Whether there may be more.
    pub is_partial: bool,
    /// The job: a new one, or the open one that does the same. Null after a dry run, and where nothing matches.
    pub job: Option<JobJson>,
}

impl MadeJobDocument {
    /// What was counted, and the job that was made of it.
    pub fn new(dry_run: bool, counted: &Counted, job: Option<&Job>) -> Self {
        let Counted { matching, is_partial, .. } = *counted;
        Self { dry_run, matching, is_partial, job: job.map(JobJson::from) }
    }
}
