//! Decides about everything that matches a filter: as a job, which is made, and worked off or waited for.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::cli::api_client::ApiClient;
use crate::cli::author::AuthorOptions;
use crate::cli::connect::ConnectOptions;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::reach::{Way, whole_seconds};
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::domain::label::Label;
use crate::event::Observers;
use crate::operations::documents::jobs::{JobDocument, JobJson, MadeJobDocument};
use crate::operations::jobs::{self, JobRunner};
use crate::operations::plural;
use crate::port::dead_letters::DeadLetterSelection;
use crate::port::decisions::HoldEnd;
use crate::port::jobs::{Job, JobKind, Made, Outcome, Task};
use crate::service::backends::Opened;
use crate::service::drain_on_signals;

/// How long what a filter matches is counted before a job of it is made.
const COUNT_FOR: Duration = Duration::from_secs(20);

/// How often it is said how far a job has come.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How often a server is asked.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// Who works off jobs.
pub(in crate::cli) enum Workshop {
    /// The workers of this one's store.
    Server(ApiClient),
    /// This process, for as long as it runs; with the lease of a job.
    Stores(Box<Opened>, Duration),
}

/// What is to be made a job.
pub(in crate::cli) struct Bulk<'a> {
    pub(in crate::cli) task: Task,
    pub(in crate::cli) author: &'a AuthorOptions,
    pub(in crate::cli) rate: Option<u32>,
    pub(in crate::cli) dry_run: bool,
    /// Whether it is left to the workers.
    pub(in crate::cli) detach: bool,
}

/// What came of it.
pub(in crate::cli) enum Came {
    /// None is made.
    None(MadeJobDocument),
    /// It is left to the workers.
    Left(JobJson),
    /// It was worked off, or is interrupted.
    Worked(JobJson),
}

impl Bulk<'_> {
    /// Counts what matches, makes a job of it, and has it worked off.
    pub(in crate::cli) async fn carry_out(
        self,
        way: Way<'_>,
        origins: &Origins,
        environment: &Environment,
    ) -> Result<Came, Failure> {
        let (workshop, mut made) = match way {
            Way::Server(server) => {
                let made = self.ask_for(&server).await?;
                made.job.iter().for_each(|job| output::note(&in_words(job)));
                (Workshop::Server(server), made)
            }
            Way::Stores(connect) => self.make(connect, origins, environment).await?,
        };
        let Some(job) = made.job.take() else { return Ok(Came::None(made)) };
        if self.detach {
            return Ok(Came::Left(job));
        }
        Ok(Came::Worked(workshop.carry_through(job.id, drain_on_signals()?).await?))
    }

    async fn make(
        &self,
        connect: &ConnectOptions,
        origins: &Origins,
        environment: &Environment,
    ) -> Result<(Workshop, MadeJobDocument), Failure> {
        let decision = self.author.decision(environment)?;
        let (backends, opened) = connect.open(origins).await?;
        if let Task::Cancel(_) = self.task {
            opened.store.decisions.can_cancel().await.map_err(Failure::work)?;
        }
        let counted = jobs::count(&opened.for_jobs(), &self.task, COUNT_FOR).await.map_err(Failure::work)?;
        let made = if self.dry_run || counted.matching == 0 {
            MadeJobDocument::new(self.dry_run, &counted, None)
        } else {
            let made = jobs::make(&*opened.store.jobs, self.task.clone(), decision, &counted, self.rate).await;
            let job = match made.map_err(Failure::work)? {
                Made::New(job) => {
                    output::note(&format!("job {}: {} matched", job.id, plural(job.matching, noun(&job.kind))));
                    job
                }
                Made::Open(job) => {
                    let words = in_words(&(&job).into());
                    output::note(&format!("job {} of {} does this already: {words}", job.id, job.decision.by));
                    job
                }
            };
            MadeJobDocument::new(false, &counted, Some(&job))
        };
        Ok((Workshop::Stores(Box::new(opened), backends.lease), made))
    }

    async fn ask_for(&self, server: &ApiClient) -> Result<MadeJobDocument, Failure> {
        let mut body = json!({
            "kind": self.task.kind().as_str(), "selection": selection(&self.task), "why": self.author.why()?,
            "rate": self.rate, "dry_run": self.dry_run,
        });
        if let Task::Hold(_, end) = self.task {
            match end {
                HoldEnd::Never => {}
                HoldEnd::After(time) => body["for_seconds"] = whole_seconds(time).into(),
                HoldEnd::At(micros) => body["until"] = until(micros).into(),
            }
        }
        server.post("/jobs", &body).await
    }
}

/// A time as the API takes it.
pub(in crate::cli) fn until(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}

/// The filter as the API takes it.
fn selection(task: &Task) -> Map<String, Value> {
    let seconds = |age: Option<Duration>| age.map(|age| Value::from(whole_seconds(age)));
    let (fields, ages) = match task {
        Task::DeadRetry(DeadLetterSelection { filter, fingerprint })
        | Task::DeadDiscard(DeadLetterSelection { filter, fingerprint }) => {
            let reasons: Vec<&str> = filter.reasons.iter().map(|reason| reason.as_str()).collect();
            let fields = [
                ("reasons", (!reasons.is_empty()).then(|| reasons.into())),
                ("product_id", filter.product_id.map(Value::from)),
                ("order_id", filter.order_id.map(|id| id.0.into())),
                ("fingerprint", fingerprint.clone().map(Value::from)),
            ];
            (fields, (filter.older_than, filter.newer_than))
        }
        Task::Cancel(filter) | Task::Hold(filter, _) | Task::Release(filter) => {
            let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
            let fields = [
                ("states", (!states.is_empty()).then(|| states.into())),
                ("product_id", filter.product_id.map(Value::from)),
                ("correlation_id", filter.correlation_id.clone().map(Value::from)),
                ("fingerprint", None),
            ];
            (fields, (filter.older_than, filter.newer_than))
        }
    };
    let ages = [("older_than_seconds", seconds(ages.0)), ("newer_than_seconds", seconds(ages.1))];
    let named = fields.into_iter().chain(ages).filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut selection: Map<String, Value> = named.collect();
    if selection.is_empty() {
        // All, which it wants to be said.
        selection.insert("older_than_seconds".to_owned(), 0.into());
    }
    selection
}

impl Workshop {
    /// Works a job off, or watches whoever does, until it ends or a signal comes.
    pub(in crate::cli) async fn carry_through(&self, id: i64, stop: CancellationToken) -> Result<JobJson, Failure> {
        let (mut said_at, mut said) = (Instant::now(), None);
        let mut told = |job: &JobJson| {
            if said_at.elapsed() >= SAY_EVERY || (job.problem.is_some() && job.problem != said) {
                (said_at, said) = (Instant::now(), job.problem.clone());
                output::note(&in_words(job));
            }
        };
        match self {
            Self::Server(server) => loop {
                let found: Option<JobDocument> = server.find(&format!("/jobs/{id}")).await?;
                let job = found.ok_or_else(|| unknown(id))?.job;
                if job.ended_at.is_some() || stop.is_cancelled() {
                    return Ok(job);
                }
                told(&job);
                stop.run_until_cancelled(tokio::time::sleep(WATCH_EVERY)).await;
            },
            Self::Stores(opened, lease) => {
                let (backends, observers) = (opened.for_jobs(), Observers::default());
                let runner = JobRunner { backends, observers, lease: *lease, stop };
                let job = runner.carry_through(id, |job: &Job| told(&job.into())).await.map_err(Failure::work)?;
                job.as_ref().map(JobJson::from).ok_or_else(|| unknown(id))
            }
        }
    }
}

pub(super) fn unknown(id: i64) -> Failure {
    Failure::Work(format!("there is no job {id}; `fulfillment-worker jobs list` lists those there are"))
}

fn noun(kind: &str) -> &'static str {
    JobKind::from_label(kind).map_or("item", JobKind::noun)
}

/// Prints what a dry run found, or that there is nothing to do.
pub(in crate::cli) fn show_none(made: &MadeJobDocument, kind: JobKind, json: bool) -> Result<(), Failure> {
    let matching = plural(made.matching, kind.noun());
    let words = || match (made.matching, made.is_partial) {
        (0, _) => format!("no {} matches: nothing to do", kind.noun()),
        (_, false) => format!("dry run, nothing changed; {matching} would be {}", kind.participle()),
        (_, true) => format!("dry run, nothing changed; at least {matching} would be {}", kind.participle()),
    };
    output::show(json, made, || vec![words()])
}

/// Prints a job that is left to the workers.
pub(in crate::cli) fn show_left(job: JobJson, json: bool) -> Result<(), Failure> {
    let words = format!("job {} is left to the workers; `jobs list` shows how far they are", job.id);
    output::show(json, &JobDocument { job }, || vec![words])
}

/// Prints how a job ended. Fails unless everything that matched was decided about.
pub(in crate::cli) fn report(job: JobJson, json: bool) -> Result<(), Failure> {
    let ended = check(&job);
    if json || is(&job, Outcome::Done) {
        let words = in_words(&job);
        output::show(json, &JobDocument { job }, || vec![words])?;
    }
    ended
}

fn is(job: &JobJson, outcome: Outcome) -> bool {
    job.state == outcome.as_str()
}

/// # Errors
/// [`Failure::Work`] unless everything that matched was decided about.
pub(in crate::cli) fn check(job: &JobJson) -> Result<(), Failure> {
    let problem = job.problem.as_ref().map(|problem| format!(", such as {problem}")).unwrap_or_default();
    match job.refused {
        _ if job.ended_at.is_none() => Err(Failure::Work(format!(
            "interrupted: {}; any running worker goes on, so does `jobs run {id}`, and `jobs cancel {id}` ends it",
            in_words(job),
            id = job.id
        ))),
        _ if !is(job, Outcome::Done) => Err(Failure::Work(in_words(job))),
        0 => Ok(()),
        refused => Err(Failure::Work(format!("not done for {}{problem}", plural(refused, noun(&job.kind))))),
    }
}

/// As `job 7 done: 100 dead letters retried, 2 skipped`.
pub(super) fn in_words(job: &JobJson) -> String {
    let did = JobKind::from_label(&job.kind).map_or("decided about", JobKind::participle);
    let mut parts = vec![format!("{} {did}", plural(job.done, noun(&job.kind)))];
    for (count, what) in [(job.skipped, "skipped"), (job.refused, "refused")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let problem = job.problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
    format!("job {} {}: {}{problem}", job.id, job.state, parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::{OrderId, State};
    use crate::port::dead_letters::DeadLetterFilter;
    use crate::port::search::OrderFilter;

    #[test]
    fn a_filter_is_sent_with_every_field_and_one_for_all_says_so() {
        let of = |task| Value::from(selection(&task));
        let letters = DeadLetterFilter { order_id: Some(OrderId(7)), ..DeadLetterFilter::default() };
        let fingerprint = Some("422: no #".to_owned());
        let alike = DeadLetterSelection { filter: letters, fingerprint };
        assert_eq!(of(Task::DeadRetry(alike)), json!({ "order_id": 7, "fingerprint": "422: no #" }));
        assert_eq!(of(Task::DeadDiscard(DeadLetterSelection::default())), json!({ "older_than_seconds": 0 }));
        let orders = OrderFilter {
            states: vec![State::Pending],
            product_id: Some(3),
            correlation_id: Some("c".to_owned()),
            older_than: Some(Duration::from_millis(1_500)),
            newer_than: Some(Duration::from_secs(60)),
        };
        let expected = json!({
            "states": ["pending"], "product_id": 3, "correlation_id": "c",
            "older_than_seconds": 2, "newer_than_seconds": 60,
        });
        assert_eq!(of(Task::Hold(orders, HoldEnd::Never)), expected);
    }
}
