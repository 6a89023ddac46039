//! `jobs`: what operators decide about everything that matches a filter, as it is worked off.

use clap::{Args, Subcommand};
use serde_json::json;

use self::bulk::Workshop;
use super::author::AuthorOptions;
use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use super::reach::{ReachOptions, Way};
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::operations::documents::jobs::{JobDocument, JobJson, JobsDocument};
use crate::operations::jobs::state;
use crate::port::jobs::MOST_JOBS;
use crate::service::drain_on_signals;

pub(super) mod bulk;

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
ended_at}, next_cursor (for the API).")]
struct ListArguments {
    /// Largest number of jobs
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
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

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
}

/// Work a job off, or wait for whoever does
///
/// Ends with the job. If you end it before, any running worker goes on. With --server, the workers work it off.
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

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
}

pub(super) async fn jobs(arguments: Arguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    match arguments.command {
        Command::List(arguments) => list(arguments, origins).await,
        Command::Cancel(arguments) => cancel(arguments, origins, environment).await,
        Command::Run(arguments) => run(arguments, origins).await,
    }
}

async fn list(arguments: ListArguments, origins: &Origins) -> Result<(), Failure> {
    let page: JobsDocument = match arguments.reach.way(origins)? {
        Way::Server(server) => server.get("/jobs", &[("limit", arguments.limit.to_string())]).await?,
        Way::Stores(connect) => {
            let (_, store) = connect.open_store(origins).await?;
            let jobs = store.jobs.jobs(MOST_JOBS).await.map_err(Failure::work)?;
            JobsDocument::page(&jobs, None, usize::from(arguments.limit))
        }
    };
    if arguments.format.is_json() {
        return output::print_json(&page);
    }
    if page.jobs.is_empty() {
        return output::print("no jobs");
    }
    let row = |job: &JobJson| {
        [
            job.id.to_string(),
            job.kind.clone(),
            job.state.clone(),
            format!("{} of {}", job.done + job.skipped + job.refused, job.matching),
            job.refused.to_string(),
            output::age(job.age_seconds),
            job.by.clone(),
            job.problem.as_ref().map_or_else(|| job.why.clone(), |problem| format!("! {problem}")),
        ]
    };
    let rows: Vec<_> = page.jobs.iter().map(row).collect();
    let header = ["ID", "KIND", "STATE", "DECIDED", "REFUSED", "AGE", "BY", "WHY"];
    output::print_lines(&output::table(header, &rows, arguments.format.columns()))
}

async fn cancel(arguments: CancelArguments, origins: &Origins, environment: &Environment) -> Result<(), Failure> {
    let (id, author) = (arguments.id, &arguments.author);
    let cancelled: JobDocument = match arguments.reach.way(origins)? {
        Way::Server(server) => server.post(&format!("/jobs/{id}/cancel"), &json!({ "why": author.why()? })).await?,
        Way::Stores(connect) => {
            let decision = author.decision(environment)?;
            let (_, store) = connect.open_store(origins).await?;
            let cancelled = store.jobs.cancel_job(id, &decision).await.map_err(Failure::work)?;
            let Some(job) = store.jobs.job(id).await.map_err(Failure::work)? else { return Err(bulk::unknown(id)) };
            if !cancelled {
                return Err(Failure::Work(format!("job {id} has ended before: {}", state(&job))));
            }
            (&job).into()
        }
    };
    output::show(arguments.format.is_json(), &cancelled, || vec![bulk::in_words(&cancelled.job)])
}

async fn run(arguments: RunArguments, origins: &Origins) -> Result<(), Failure> {
    let workshop = match arguments.reach.way(origins)? {
        Way::Server(server) => Workshop::Server(server),
        Way::Stores(connect) => {
            let (backends, opened) = connect.open(origins).await?;
            Workshop::Stores(Box::new(opened), backends.lease)
        }
    };
    let job = workshop.carry_through(arguments.id, drain_on_signals()?).await?;
    bulk::report(job, arguments.format.is_json())
}
