//! Works off what operators decide about everything that matches a filter.
//!
//! A job is a row. Whoever has it writes down a page of ids, decides about them, and writes down the next one: so whoever goes on
//! after a kill repeats one page at most. A repeated decision changes nothing: a letter is retried once, an order is cancelled
//! once, and a hold of the same author, reason and end is left as it is. Two that work on one job at once, as one of them was
//! thought dead, do no harm for the same reason.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::deciding::Tally;
use self::finding::{Finding, Found};
use crate::event::{JobsEvent, Observers};
use crate::port::dead_letters::{DeadLetters, Decision};
use crate::port::decisions::OrderDecisions;
use crate::port::jobs::{Job, Jobs, Made, NewJob, Next, Outcome, Progress, Task};
use crate::port::queue::Producer;
use crate::port::reports::Reports;
use crate::port::retrying::Retrying;
use crate::port::search::OrderSearch;
use crate::port::store::StoreError;

pub(super) mod counted;
mod deciding;
mod finding;

pub use crate::operations::documents::jobs::state;
pub use counted::Counted;
#[cfg(feature = "cli")]
pub use finding::count;
pub use finding::count_briefly;

/// Ids that are decided about at once, at most.
const PAGE: u32 = 100;

/// How often a worker without a job looks for one.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often whoever waits for a job looks at it.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// After a failure, a job is left alone for so long.
const REST: Duration = Duration::from_secs(5);

/// Queue and store in the roles that jobs need.
#[derive(Clone)]
pub struct JobBackends {
    /// Receives the messages of what is retried or released.
    pub queue: Arc<dyn Producer>,
    /// Keeps the jobs.
    pub jobs: Arc<dyn Jobs>,
    /// Finds and decides about dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Decides about orders.
    pub decisions: Arc<dyn OrderDecisions>,
    /// Finds orders,
    pub search: Arc<dyn OrderSearch>,
    /// by correlation id, too.
    pub reports: Arc<dyn Reports>,
}

/// Makes a job of what was counted, unless an open one does the same.
///
/// # Errors
/// When the store gives no answer. It may have made it; making it again is safe.
pub async fn make(
    jobs: &dyn Jobs,
    task: Task,
    decision: Decision,
    counted: &Counted,
    rate: Option<u32>,
) -> Result<Made, StoreError> {
    let Counted { matching, up_to, .. } = *counted;
    jobs.make_job(&NewJob { task, decision, up_to, matching, rate }).await
}

/// Works on jobs.
pub struct JobRunner {
    /// Where they are, and what they are about.
    pub backends: JobBackends,
    /// Learn how it goes.
    pub observers: Observers,
    /// A job is somebody else's when whoever has it has been silent for so long.
    pub lease: Duration,
    /// Ends the work after the page that is under way.
    pub stop: CancellationToken,
}

/// Why the work on a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Worked {
    /// It has ended.
    Ended,
    /// It is somebody else's, or was ended by somebody else.
    Lost,
    /// This runner was told to stop.
    Stopped,
    /// Something failed. The job is left for [`REST`].
    Stuck,
}

/// Why a page was not decided about.
#[derive(Debug, thiserror::Error)]
enum JobError {
    /// Nobody will ever get on with it.
    #[error("{0}")]
    Hopeless(String),
    /// It may work later.
    #[error("{0}")]
    Later(String),
    /// It isn't ours any more.
    #[error("another worker has the job by now, or it was cancelled")]
    Lost,
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

impl JobRunner {
    /// Works on one job after the other, as there are any, until told to stop.
    pub async fn run(self) {
        let mut answers = true;
        while !self.stop.is_cancelled() {
            let worked = self.look().await;
            if let Err(error) = &worked
                && answers
            {
                tracing::warn!(%error, "whether there are jobs could not be found out; this is asked again every few seconds");
            }
            answers = worked.is_ok();
            if !matches!(worked, Ok(true)) {
                self.stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await;
            }
        }
    }

    /// Whether there was something to work on.
    async fn look(&self) -> Result<bool, StoreError> {
        let open = self.backends.jobs.open_jobs().await?;
        self.observers.emit(JobsEvent::Open(open));
        if open == 0 {
            return Ok(false);
        }
        let Some(job) = self.backends.jobs.claim_job(None, self.lease).await? else { return Ok(false) };
        self.observers.emit(JobsEvent::Began { id: job.id, kind: &job.kind });
        Ok(self.work(job, &mut |_| ()).await != Worked::Stuck)
    }

    /// Works on this job until it has ended or this runner is told to stop; while somebody else has it, watches. `told` learns how
    /// it goes, again and again. Returns the job as it was last; `None` if there is no such job.
    ///
    /// # Errors
    /// When the store gives no answer for as long as a lease.
    pub async fn carry_through(&self, id: i64, mut told: impl FnMut(&Job) + Send) -> Result<Option<Job>, StoreError> {
        loop {
            let claim = || self.backends.jobs.claim_job(Some(id), self.lease);
            if !self.stop.is_cancelled()
                && let Some(job) = self.patiently(StoreError::is_transient, claim).await?
            {
                self.work(job, &mut told).await;
            }
            // Not with a token that is cancelled: how it stands is said in any case.
            let Some(job) = self.backends.jobs.job(id).await? else { return Ok(None) };
            told(&job);
            if job.ended.is_some() || self.stop.is_cancelled() {
                return Ok(Some(job));
            }
            self.stop.run_until_cancelled(tokio::time::sleep(WATCH_EVERY)).await;
        }
    }

    async fn work(&self, job: Job, told: &mut (dyn FnMut(&Job) + Send)) -> Worked {
        let task = match job.task() {
            Ok(task) => task,
            Err(error) => return self.give_up(&job, JobError::Hopeless(error.to_string())).await,
        };
        let mut work = Work::new(job, task);
        loop {
            if self.stop.is_cancelled() {
                let _ =
                    self.backends.jobs.advance_job(work.job.id, &work.job.progress, Next::Leave(Duration::ZERO)).await;
                return Worked::Stopped;
            }
            match self.step(&mut work).await {
                Ok(true) => told(&work.job),
                Ok(false) => return self.end(&work.job, Outcome::Done).await,
                Err(error) => return self.give_up(&work.job, error).await,
            }
        }
    }

    /// Finds a page, or takes the one that was left half done, and decides about it. `false` at the end.
    async fn step(&self, work: &mut Work) -> Result<bool, JobError> {
        let is_repeated = !work.job.progress.page.is_empty();
        if !is_repeated {
            let page = usize::try_from(work.pace.page()).unwrap_or(1);
            match work.finding.next(&self.backends, &work.job, page).await? {
                Found::Nothing => return Ok(false),
                Found::NothingYet(cursor) => work.job.progress.cursor = Some(cursor),
                Found::Page(ids) => work.job.progress.page = ids,
            }
            self.advance(&work.job).await?;
        }
        if work.job.progress.page.is_empty() || !work.pace.wait(work.job.progress.page.len(), &self.stop).await {
            return Ok(true);
        }
        let tally = self.decide(work, is_repeated).await?;
        self.observers.emit(JobsEvent::Decided { done: tally.done, skipped: tally.skipped, refused: tally.refused });
        work.decided(tally);
        Ok(true)
    }

    /// Writes down where it is, before what it says is done.
    async fn advance(&self, job: &Job) -> Result<(), JobError> {
        let keep = || self.backends.jobs.advance_job(job.id, &job.progress, Next::Keep(self.lease));
        match self.patiently(StoreError::is_transient, keep).await? {
            true => Ok(()),
            false => Err(JobError::Lost),
        }
    }

    async fn end(&self, job: &Job, outcome: Outcome) -> Worked {
        let end = || self.backends.jobs.advance_job(job.id, &job.progress, Next::End(outcome));
        match self.patiently(StoreError::is_transient, end).await {
            Ok(true) => {
                let Progress { done, refused, .. } = job.progress;
                self.observers.emit(JobsEvent::Ended { id: job.id, outcome, done, refused });
                Worked::Ended
            }
            Ok(false) => Worked::Lost,
            Err(error) => self.stuck(job, &error.to_string()).await,
        }
    }

    async fn give_up(&self, job: &Job, error: JobError) -> Worked {
        match error {
            JobError::Lost => Worked::Lost,
            JobError::Later(problem) => self.stuck(job, &problem).await,
            JobError::Hopeless(problem) => {
                self.observers.emit(JobsEvent::Stuck { id: job.id, problem: &problem });
                let progress = Progress { problem: Some(problem), ..job.progress.clone() };
                self.end(&Job { progress, ..job.clone() }, Outcome::Failed).await
            }
        }
    }

    async fn stuck(&self, job: &Job, problem: &str) -> Worked {
        self.observers.emit(JobsEvent::Stuck { id: job.id, problem });
        let progress = Progress { problem: Some(problem.to_owned()), ..job.progress.clone() };
        if let Err(error) = self.backends.jobs.advance_job(job.id, &progress, Next::Leave(REST)).await {
            tracing::debug!(%error, job = job.id, "the job could not be left; its lease ends by itself");
        }
        Worked::Stuck
    }

    fn retrying(&self) -> Retrying {
        Retrying { limit: Some(self.lease), stop: self.stop.clone() }
    }

    async fn patiently<T, E, F>(&self, is_transient: impl Fn(&E) -> bool, call: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.retrying().until_answered(is_transient, |_, _| (), |_| call()).await
    }
}

/// A job in this process's hands.
struct Work {
    job: Job,
    task: Task,
    finding: Finding,
    pace: Pace,
}

impl Work {
    fn new(job: Job, task: Task) -> Self {
        Self { finding: Finding::new(&task, job.age), pace: Pace::new(job.rate), job, task }
    }

    /// The page is behind it. This is written with the next one.
    fn decided(&mut self, tally: Tally) {
        let progress = &mut self.job.progress;
        progress.cursor = progress.page.last().copied().or(progress.cursor);
        progress.page.clear();
        progress.done += tally.done;
        progress.skipped += tally.skipped;
        progress.refused += tally.refused;
        progress.problem = tally.problem;
    }
}

/// Spreads pages over time.
struct Pace {
    rate: Option<u32>,
    /// When the next page is due.
    next: Instant,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        Self { rate: rate.filter(|rate| *rate > 0), next: Instant::now() }
    }

    /// Ten pages a second, or as many as there are ids.
    fn page(&self) -> u32 {
        self.rate.map_or(PAGE, |rate| (rate / 10).clamp(1, PAGE))
    }

    /// `false` if it was told to stop.
    async fn wait(&mut self, ids: usize, stop: &CancellationToken) -> bool {
        let Some(rate) = self.rate else { return true };
        let due = self.next.max(Instant::now());
        if stop.run_until_cancelled(tokio::time::sleep_until(due.into())).await.is_none() {
            return false;
        }
        self.next = due + Duration::from_secs(1).saturating_mul(u32::try_from(ids).unwrap_or(u32::MAX)) / rate;
        true
    }
}
