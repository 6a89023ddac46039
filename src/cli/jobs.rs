//! `jobs`: what operators decide about everything that matches a filter, as it is worked off.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::author::AuthorOptions;
use super::connect::ConnectOptions;
use super::failure::Failure;
use super::format::{Format, FormatOptions};
use super::output;
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::domain::label::Label;
use crate::event::Observers;
use crate::operations::jobs::{self, Counted, JobJson, JobRunner, state};
use crate::operations::plural;
use crate::port::dead_letters::Decision;
use crate::port::jobs::{Job, JobKind, Made, Outcome, Progress, Task};
use crate::service::backends::Opened;
use crate::service::drain_on_signals;

/// How long what a filter matches is counted before a job of it is made.
const COUNT_FOR: Duration = Duration::from_secs(20);

/// How often it is said how far a job has come.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// List, cancel or work off what was decided about everything that matches a filter
///
/// `dead retry`, `dead discard`, `cancel`, `hold` and `release` with a filter make a job, which is kept in the store. Whoever made it
/// works it off; if that process ends, any running worker goes on. Each dead letter and order is decided about once.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker jobs list
  fulfillment-worker jobs cancel 7 --why 'the wrong product'     what is done stays done
  fulfillment-worker jobs run 7                                  where no worker runs")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArguments),
    Cancel(CancelArguments),
    Run(RunArguments),
}

/// List jobs, newest first
///
/// Of those that have ended, the last 1,000 are kept.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker jobs list
  fulfillment-worker jobs list -o json | jq '.jobs[] | select(.state == \"waiting\")'

STATE: waiting (for a worker, or after a failure), working, done, cancelled, failed.
JSON: version, jobs[].{id,kind,state,selection,by,why,matching,done,skipped,refused,rate,problem,worker,made_at,age_seconds,
ended_at}.")]
struct ListArguments {
    /// Largest number of jobs
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    connect: ConnectOptions,
}

/// End a job
///
/// What it has done stays done. The page that is being decided about, of at most 100, may still be.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker jobs cancel 7 --why 'the wrong product'

Exit code 1 if there is no such job or it has ended.
JSON: version, job (as of `jobs list`).")]
struct CancelArguments {
    /// Number of the job
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,

    #[command(flatten)]
    author: AuthorOptions,

    /// Print one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectOptions,
}

/// Work a job off, or wait for whoever does
///
/// Ends with the job. If you end it before, any running worker goes on.
#[derive(Debug, Args)]
#[command(mut_arg("wait", |wait| wait.default_value("30s")))]
#[command(after_long_help = "\
Examples:
  fulfillment-worker jobs run 7

Exit code 1 unless everything that matched was decided about.
JSON: version, job (as of `jobs list`).")]
struct RunArguments {
    /// Number of the job
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,

    /// Print one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectOptions,
}

#[derive(Debug, Serialize)]
struct Listed {
    jobs: Vec<JobJson>,
}

/// The answer of each command that makes or changes a job.
#[derive(Debug, Serialize)]
struct Answer {
    job: JobJson,
}

/// The same where nothing was made.
#[derive(Debug, Serialize)]
struct Matching {
    dry_run: bool,
    matching: u64,
    is_partial: bool,
    job: (),
}

pub(super) async fn jobs(arguments: Arguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    match arguments.command {
        Command::List(arguments) => list(arguments, origins).await,
        Command::Cancel(arguments) => cancel(arguments, origins, environment).await,
        Command::Run(arguments) => run(arguments, origins).await,
    }
}

async fn list(arguments: ListArguments, origins: &Origins) -> Result<(), Failure> {
    let (_, store) = arguments.connect.open_store(origins).await?;
    let jobs = store.jobs.jobs(usize::from(arguments.limit)).await.map_err(Failure::work)?;
    if arguments.format.format() == Format::Json {
        return output::print_json(&Listed { jobs: jobs.iter().map(JobJson::from).collect() });
    }
    if jobs.is_empty() {
        return output::print("no jobs");
    }
    let row = |job: &Job| {
        let Progress { done, skipped, refused, problem, .. } = &job.progress;
        [
            job.id.to_string(),
            job.kind.clone(),
            state(job).to_owned(),
            format!("{} of {}", done + skipped + refused, job.matching),
            refused.to_string(),
            output::rounded(job.age),
            job.decision.by.clone(),
            problem.as_ref().map_or_else(|| job.decision.reason.clone(), |problem| format!("! {problem}")),
        ]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    let header = ["ID", "KIND", "STATE", "DECIDED", "REFUSED", "AGE", "BY", "WHY"];
    output::print_lines(&output::table(header, &rows, arguments.format.columns()))
}

async fn cancel(arguments: CancelArguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    let (id, decision) = (arguments.id, arguments.author.decision(environment)?);
    let (_, store) = arguments.connect.open_store(origins).await?;
    let cancelled = store.jobs.cancel_job(id, &decision).await.map_err(Failure::work)?;
    let Some(job) = store.jobs.job(id).await.map_err(Failure::work)? else { return Err(unknown(id)) };
    if !cancelled {
        return Err(Failure::Work(format!("job {id} has ended before: {}", state(&job))));
    }
    output::show(arguments.json, &Answer { job: JobJson::from(&job) }, || vec![in_words(&job)])
}

async fn run(arguments: RunArguments, origins: &Origins) -> Result<(), Failure> {
    let (backends, opened) = arguments.connect.open(origins).await?;
    let job = carry_through(&opened, backends.lease, drain_on_signals()?, arguments.id).await?;
    report(&job, arguments.json)
}

fn unknown(id: i64) -> Failure {
    Failure::Work(format!("there is no job {id}; `fulfillment-worker jobs list` lists those there are"))
}

/// What is to be made of a task.
pub(super) struct Bulk {
    pub(super) task: Task,
    pub(super) decision: Decision,
    pub(super) rate: Option<u32>,
    /// Whether it is left to the workers.
    pub(super) detach: bool,
    pub(super) dry_run: bool,
    pub(super) json: bool,
}

impl Bulk {
    /// Counts what matches, makes a job of it, and works it off.
    pub(super) async fn carry_out(self, opened: &Opened, lease: Duration) -> Result<(), Failure> {
        let kind = self.task.kind();
        let counted = jobs::count(&opened.for_jobs(), &self.task, COUNT_FOR).await.map_err(Failure::work)?;
        if self.dry_run || counted.matching == 0 {
            let Counted { matching, is_partial, .. } = counted;
            let matching = Matching { dry_run: self.dry_run, matching, is_partial, job: () };
            return output::show(self.json, &matching, || vec![dry_in_words(kind, &counted)]);
        }
        let (json, detach) = (self.json, self.detach);
        let job = self.make(opened, &counted).await?;
        if detach {
            return show_made(&job, json);
        }
        let job = carry_through(opened, lease, drain_on_signals()?, job.id).await?;
        report(&job, json)
    }

    /// Makes the job, or finds the one that does the same.
    pub(super) async fn make(self, opened: &Opened, counted: &Counted) -> Result<Job, Failure> {
        let Self { task, decision, rate, .. } = self;
        let made = jobs::make(&*opened.store.jobs, task, decision, counted, rate).await.map_err(Failure::work)?;
        Ok(match made {
            Made::New(job) => {
                output::note(&format!("job {}: {} matched", job.id, plural_of(&job)));
                job
            }
            Made::Open(job) => {
                output::note(&format!("job {} of {} does this already: {}", job.id, job.decision.by, in_words(&job)));
                job
            }
        })
    }
}

fn plural_of(job: &Job) -> String {
    plural(job.matching, noun(job))
}

fn noun(job: &Job) -> &'static str {
    JobKind::from_label(&job.kind).map_or("item", JobKind::noun)
}

fn dry_in_words(kind: JobKind, counted: &Counted) -> String {
    let Counted { matching, is_partial, .. } = *counted;
    match (matching, is_partial) {
        (0, _) => format!("no {} matches: nothing to do", kind.noun()),
        (_, false) => {
            format!("dry run, nothing changed; {} would be {}", plural(matching, kind.noun()), kind.participle())
        }
        (_, true) => {
            let noun = plural(matching, kind.noun());
            format!("dry run, nothing changed; at least {noun} would be {}", kind.participle())
        }
    }
}

/// Works a job off, or watches whoever does, until it ends or a signal comes.
pub(super) async fn carry_through(
    opened: &Opened,
    lease: Duration,
    stop: CancellationToken,
    id: i64,
) -> Result<Job, Failure> {
    let runner = JobRunner { backends: opened.for_jobs(), observers: Observers::default(), lease, stop };
    let (mut said_at, mut said) = (Instant::now(), None);
    let told = |job: &Job| {
        let problem = job.progress.problem.clone();
        if said_at.elapsed() >= SAY_EVERY || (problem.is_some() && problem != said) {
            (said_at, said) = (Instant::now(), problem);
            output::note(&in_words(job));
        }
    };
    runner.carry_through(id, told).await.map_err(Failure::work)?.ok_or_else(|| unknown(id))
}

/// Prints how a job ended. Fails unless everything that matched was decided about.
pub(super) fn report(job: &Job, json: bool) -> Result<(), Failure> {
    let ended = check(job);
    if json || ended.is_ok() || matches!(job.ended, Some((Outcome::Done, _))) {
        output::show(json, &Answer { job: JobJson::from(job) }, || vec![in_words(job)])?;
    }
    ended
}

/// # Errors
/// [`Failure::Work`] unless everything that matched was decided about.
pub(super) fn check(job: &Job) -> Result<(), Failure> {
    let Progress { refused, problem, .. } = &job.progress;
    let problem = problem.as_ref().map(|problem| format!(", such as {problem}")).unwrap_or_default();
    match job.ended {
        Some((Outcome::Done, _)) if *refused == 0 => Ok(()),
        Some((Outcome::Done, _)) => {
            Err(Failure::Work(format!("not done for {}{problem}", plural(*refused, noun(job)))))
        }
        Some(_) => Err(Failure::Work(in_words(job))),
        None => Err(Failure::Work(format!(
            "interrupted: {}; any running worker goes on, so does `jobs run {id}`, and `jobs cancel {id}` ends it",
            in_words(job),
            id = job.id
        ))),
    }
}

/// Prints a job that is left to the workers.
pub(super) fn show_made(job: &Job, json: bool) -> Result<(), Failure> {
    let words = || format!("job {} is left to the workers; `jobs list` shows how far they are", job.id);
    output::show(json, &Answer { job: JobJson::from(job) }, || vec![words()])
}

/// As `job 7 done: 100 dead letters retried, 2 skipped`.
fn in_words(job: &Job) -> String {
    let Progress { done, skipped, refused, problem, .. } = &job.progress;
    let did = JobKind::from_label(&job.kind).map_or("decided about", JobKind::participle);
    let mut parts = vec![format!("{} {did}", plural(*done, noun(job)))];
    for (count, what) in [(*skipped, "skipped"), (*refused, "refused")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let problem = problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
    format!("job {} {}: {}{problem}", job.id, state(job), parts.join(", "))
}
