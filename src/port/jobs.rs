//! Bulk work that operators ask for: what they decide about everything that matches a filter, as a row that is worked off.
//!
//! The row decides nothing about an order or a dead letter: the guards stay those of [`crate::port::dead_letters::DeadLetters`] and
//! [`crate::port::decisions::OrderDecisions`]. It remembers how far the work has come, and which page was about to be decided: that
//! page is decided again if whoever did it died.

use std::time::Duration;

use async_trait::async_trait;
use enum_map::Enum;
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha1_smol::Sha1;
use strum::IntoStaticStr;

use self::selection::{Selection, duration};
use crate::domain::label::Label;
use crate::port::dead_letters::{DeadLetterSelection, Decision};
use crate::port::decisions::HoldEnd;
use crate::port::search::OrderFilter;
use crate::port::store::StoreError;

mod selection;

/// The most jobs that [`Jobs::jobs`] returns.
pub const MOST_JOBS: usize = 1_000;

/// How many jobs that have ended are kept.
pub const KEEP_ENDED_JOBS: i64 = 1_000;

/// Makes, claims, advances, cancels and lists. Every time is by the store's clock.
///
/// ```
/// # use fulfillment_worker::port::jobs::Jobs;
/// # use fulfillment_worker::port::store::StoreError;
/// async fn progress(store: &dyn Jobs, id: i64) -> Result<Option<u64>, StoreError> {
///     Ok(store.job(id).await?.map(|job| job.progress.done))
/// }
/// ```
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Makes a job, and appends that to the activity; unless one of this kind with the same selection is open: then that one is
    /// returned, and nothing is made.
    async fn make_job(&self, job: &NewJob) -> Result<Made, StoreError>;

    /// Counts the jobs that have not ended.
    async fn open_jobs(&self) -> Result<u64, StoreError>;

    /// Takes or keeps a job for `term`: this one, or the oldest that has not ended, is of a kind that this version knows, and is
    /// nobody else's. A job whose term is over is nobody's.
    async fn claim_job(&self, id: Option<i64>, term: Duration) -> Result<Option<Job>, StoreError>;

    /// Writes how far this worker has come with a job. `false` if it isn't this worker's any more, or has ended: then nothing is
    /// written. May be repeated.
    async fn advance_job(&self, id: i64, progress: &Progress, next: Next) -> Result<bool, StoreError>;

    /// Ends a job that has not ended, and appends that to the activity. A page that is being decided may still be. `false` if
    /// there is no such job, or it has ended.
    async fn cancel_job(&self, id: i64, decision: &Decision) -> Result<bool, StoreError>;

    /// The job of this number.
    async fn job(&self, id: i64) -> Result<Option<Job>, StoreError>;

    /// The jobs made last, the newest first.
    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError>;
}

/// What a job does with each thing that it selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum JobKind {
    /// Retries orders of dead letters.
    DeadRetry,
    /// Closes dead letters.
    DeadDiscard,
    /// Cancels orders.
    Cancel,
    /// Holds orders.
    Hold,
    /// Releases orders.
    Release,
}

impl JobKind {
    /// What it selects.
    pub fn noun(self) -> &'static str {
        match self {
            Self::DeadRetry | Self::DeadDiscard => "dead letter",
            Self::Cancel | Self::Hold | Self::Release => "order",
        }
    }

    /// What it has done to them.
    pub fn participle(self) -> &'static str {
        match self {
            Self::DeadRetry => "retried",
            Self::DeadDiscard => "discarded",
            Self::Cancel => "cancelled",
            Self::Hold => "held",
            Self::Release => "released",
        }
    }
}

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Retries the orders of dead letters.
    DeadRetry(DeadLetterSelection),
    /// Closes dead letters.
    DeadDiscard(DeadLetterSelection),
    /// Cancels orders.
    Cancel(OrderFilter),
    /// Holds orders, as long after the job was made, or until then.
    Hold(OrderFilter, HoldEnd),
    /// Releases orders.
    Release(OrderFilter),
}

impl Task {
    /// Its kind.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::DeadRetry(_) => JobKind::DeadRetry,
            Self::DeadDiscard(_) => JobKind::DeadDiscard,
            Self::Cancel(_) => JobKind::Cancel,
            Self::Hold(..) => JobKind::Hold,
            Self::Release(_) => JobKind::Release,
        }
    }

    /// As it is stored, in JSON.
    pub fn selection(&self) -> String {
        let mut stored = Selection::default();
        match self {
            Self::DeadRetry(selection) | Self::DeadDiscard(selection) => stored.letters(selection),
            Self::Cancel(filter) | Self::Release(filter) => stored.orders(filter),
            Self::Hold(filter, end) => {
                stored.orders(filter);
                match *end {
                    HoldEnd::Never => {}
                    HoldEnd::After(time) => stored.hold_seconds = Some(time.as_secs_f64()),
                    HoldEnd::At(micros) => stored.hold_until_micros = Some(micros),
                }
            }
        }
        // Numbers and texts: there is nothing that JSON can't say.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// It was written by a version to come.
    pub fn read(kind: JobKind, selection: &str) -> Result<Self, UnknownTask> {
        let unknown = |error: serde_json::Error| UnknownTask(error.to_string());
        // An array would do for an object without fields, which selects everything.
        let stored: Map<String, Value> = serde_json::from_str(selection).map_err(unknown)?;
        let stored: Selection = serde_json::from_value(Value::Object(stored)).map_err(unknown)?;
        let end = match (stored.hold_until_micros, stored.hold_seconds) {
            (Some(micros), _) => HoldEnd::At(micros),
            (None, Some(seconds)) => HoldEnd::After(duration(seconds)),
            (None, None) => HoldEnd::Never,
        };
        Ok(match kind {
            JobKind::DeadRetry => Self::DeadRetry(stored.letter_selection()?),
            JobKind::DeadDiscard => Self::DeadDiscard(stored.letter_selection()?),
            JobKind::Cancel => Self::Cancel(stored.order_filter()),
            JobKind::Hold => Self::Hold(stored.order_filter(), end),
            JobKind::Release => Self::Release(stored.order_filter()),
        })
    }
}

/// A selection that this version can't read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a version to come of this program made this job: {0}")]
pub struct UnknownTask(String);

/// A job to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What it is about.
    pub task: Task,
    /// Who decides, and why.
    pub decision: Decision,
    /// The greatest id that it decides about.
    pub up_to: i64,
    /// How many matched when it was made, as far as they were counted.
    pub matching: u64,
    /// At most so many per second; as fast as it goes if not set.
    pub rate: Option<u32>,
}

impl NewJob {
    /// Two open jobs never have the same.
    pub(crate) fn fingerprint(&self) -> String {
        let text = format!("{} {}", self.task.kind().as_str(), self.task.selection());
        Sha1::from(text).digest().to_string()
    }
}

/// What became of a job that was to be made.
#[derive(Debug, Clone, PartialEq)]
pub enum Made {
    /// It is made.
    New(Job),
    /// An open one does the same already.
    Open(Job),
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number, which grows.
    pub id: i64,
    /// A [`JobKind`] as text.
    pub kind: String,
    /// A [`Task`] in JSON.
    pub selection: String,
    /// Who decided, and why.
    pub decision: Decision,
    /// The greatest id that it decides about.
    pub up_to: i64,
    /// How many matched when it was made, as far as they were counted.
    pub matching: u64,
    /// At most so many per second.
    pub rate: Option<u32>,
    /// How far it has come.
    pub progress: Progress,
    /// Whose it is, or was last; empty if nobody's.
    pub holder: String,
    /// For how much longer; `None` if it is nobody's.
    pub left: Option<Duration>,
    /// When it was made.
    pub at: Timestamp,
    /// How long ago that was.
    pub age: Duration,
    /// How it ended, and when.
    pub ended: Option<(Outcome, Timestamp)>,
}

impl Job {
    /// What it is about.
    ///
    /// # Errors
    /// A version to come made it.
    pub fn task(&self) -> Result<Task, UnknownTask> {
        let kind = JobKind::from_label(&self.kind).ok_or_else(|| UnknownTask(format!("kind {}", self.kind)))?;
        Task::read(kind, &self.selection)
    }

    /// Who decides and why, as it is kept with each letter and order.
    pub fn stamped(&self) -> Decision {
        Decision { by: self.decision.by.clone(), reason: format!("{} {}", self.decision.reason, self.stamp()) }
    }

    /// What tells a decision of this job from others.
    pub fn stamp(&self) -> String {
        format!("(job {})", self.id)
    }
}

/// How far a job has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last id that is behind it: dead letters come in order of id, orders with the greatest first. `None` at first.
    pub cursor: Option<i64>,
    /// The ids that are being decided about, at most 1,000. They are again if whoever does it dies.
    pub page: Vec<i64>,
    /// For how many it did what it was to do.
    pub done: u64,
    /// For how many there was nothing to do.
    pub skipped: u64,
    /// For how many it could not be done: the database refused them, or somebody had them locked.
    pub refused: u64,
    /// Why it isn't getting on.
    pub problem: Option<String>,
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This worker goes on, within so long.
    Keep(Duration),
    /// Anybody may go on, after so long.
    Leave(Duration),
    /// Nothing: it has ended.
    End(Outcome),
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Everything that it selects is behind it.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// It can't be carried out; its problem says why.
    Failed,
}

impl Outcome {
    /// Reads what is stored.
    pub(crate) fn of(text: &str) -> Self {
        Self::from_label(text).unwrap_or(Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dead_letter::DeadReason;
    use crate::domain::order::{OrderId, State};
    use crate::port::dead_letters::DeadLetterFilter;

    fn orders() -> OrderFilter {
        OrderFilter {
            states: vec![State::Pending, State::from("held")],
            product_id: Some(7),
            correlation_id: Some("ä \"b\"".to_owned()),
            older_than: Some(Duration::from_millis(1_500)),
            newer_than: Some(Duration::from_secs(86_400)),
        }
    }

    fn letters() -> DeadLetterSelection {
        let filter = DeadLetterFilter {
            reasons: vec![DeadReason::Ambiguous, DeadReason::Rejected],
            older_than: Some(Duration::ZERO),
            product_id: Some(7),
            order_id: Some(OrderId(9)),
            resolved: Some(false),
            ..DeadLetterFilter::default()
        };
        DeadLetterSelection { filter, fingerprint: Some("422: no '…'".to_owned()) }
    }

    #[test]
    fn a_task_comes_back_as_it_was_stored() {
        let tasks = [
            Task::DeadRetry(letters()),
            Task::DeadDiscard(DeadLetterFilter { resolved: Some(false), ..DeadLetterFilter::default() }.into()),
            Task::Cancel(OrderFilter { states: vec![State::Pending], ..OrderFilter::default() }),
            Task::Hold(OrderFilter::default(), HoldEnd::Never),
            Task::Hold(OrderFilter::default(), HoldEnd::At(1_700_000_000_000_001)),
            Task::Hold(OrderFilter::default(), HoldEnd::After(Duration::from_secs(90))),
            Task::Release(OrderFilter { states: vec![State::from("held"), State::Pending], ..orders() }),
        ];
        for task in tasks {
            assert_eq!(Task::read(task.kind(), &task.selection()).unwrap(), task, "{}", task.selection());
        }
    }

    #[test]
    fn a_selection_of_a_version_to_come_is_refused_and_never_read_as_a_wider_one() {
        for selection in [r#"{"colour":"red"}"#, r#"{"reasons":["too_late"]}"#, "", "[]"] {
            assert!(Task::read(JobKind::DeadRetry, selection).is_err(), "{selection}");
        }
    }

    #[test]
    fn the_same_selection_in_another_order_of_words_is_the_same_job() {
        let job = |states: [State; 2]| NewJob {
            task: Task::Cancel(OrderFilter { states: states.to_vec(), ..OrderFilter::default() }),
            decision: Decision { by: String::new(), reason: String::new() },
            up_to: 0,
            matching: 0,
            rate: None,
        };
        let [one, other] = [[State::Pending, State::Processing], [State::Processing, State::Pending]];
        assert_eq!(job(one.clone()).fingerprint(), job(other).fingerprint());
        assert_ne!(job(one).fingerprint(), job([State::Pending, State::Failed]).fingerprint());
    }
}
