//! Jobs: what operators decide about everything that matches a filter. Workers work them off.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use utoipa::ToSchema;

use self::body::NewJob;
use super::body::{Json, Plain, bytes, content_type};
use super::fleet::PageQuery;
use super::parameters::{self, Parameters};
use super::{Api, Open, decision, reading};
use crate::admin::{Operator, Problem};
use crate::operations::cursor::List;
use crate::operations::documents::Document;
use crate::operations::documents::jobs::{JOBS, JobDocument, JobsDocument, MadeJobDocument};
use crate::operations::jobs::{self, JobBackends};
use crate::port::jobs::{MOST_JOBS, Made, Task};

pub(super) mod body;

/// How long what a filter matches is counted before a job of it is made.
const COUNT_FOR: Duration = Duration::from_secs(5);

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/jobs", reading(list).post(make))
        .route("/jobs/{id}", reading(show))
        .route("/jobs/{id}/cancel", post(cancel))
}

/// Lists jobs, the newest first
///
/// Of those that have ended, the last 1,000 are kept.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", operation_id = "listJobs", params(PageQuery),
    responses((status = 200, description = "A page", body = Document<JobsDocument>)))]
pub(super) async fn list(State(api): State<Api>, mut query: Parameters) -> Result<Response, Problem> {
    let limit = query.limit()?;
    let before: Option<i64> = query.position(&List(JOBS, &()))?;
    api.answer(move |open| async move {
        let jobs = open.roles.jobs.jobs(MOST_JOBS).await?;
        Ok(JobsDocument::page(&jobs, before, limit))
    })
    .await
}

/// Shows a job
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", operation_id = "getJob",
    params(("id" = i64, Path, description = "Its number", minimum = 1, maximum = 9223372036854775807_i64)),
    responses((status = 200, description = "The job", body = Document<JobDocument>)))]
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, Problem> {
    query.none_left()?;
    let id = parameters::id(&id)?;
    api.answer(move |open| async move {
        let job = open.roles.jobs.job(id).await?;
        job.as_ref().map(JobDocument::from).ok_or_else(|| unknown(id))
    })
    .await
}

/// Makes a job of everything that matches a filter
///
/// With `dry_run` it says how many match, and makes none. Running workers work it off. An open job with the same selection is
/// returned instead of a second one.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", operation_id = "makeJob", request_body = NewJob,
    responses((status = 200, description = "A dry run, nothing that matches, or an open job that does the same", body = Document<MadeJobDocument>),
        (status = 201, description = "It is made", body = Document<MadeJobDocument>),
        (status = 409, description = "The table of orders can't say that an order is cancelled", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn make(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    query.none_left()?;
    content_type(request.headers(), &["application/json"])?;
    let NewJob { task, why, rate, dry_run } = NewJob::read(&bytes(request, &()).await?)?;
    let decision = decision(&operator, why);
    api.decide_as(move |open| async move {
        if let Task::Cancel(_) = task {
            open.roles.decisions.can_cancel().await?;
        }
        let backends = open.for_jobs();
        let counted = jobs::count_briefly(&backends, &task, COUNT_FOR).await?;
        if counted.matching == 0 && counted.is_partial {
            let limit = COUNT_FOR.as_secs();
            return Err(Problem::unavailable(
                format!(
                    "nothing was found within {limit} s, and not everything was looked at; filter by something else, such as age, too"
                ),
                5,
            ));
        }
        if dry_run || counted.matching == 0 {
            return Ok((StatusCode::OK, MadeJobDocument::new(dry_run, &counted, None)));
        }
        let (status, job) = match jobs::make(&*backends.jobs, task, decision, &counted, rate).await? {
            Made::New(job) => (StatusCode::CREATED, job),
            Made::Open(job) => (StatusCode::OK, job),
        };
        Ok((status, MadeJobDocument::new(false, &counted, Some(&job))))
    })
    .await
}

/// Why a job is ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancelled {
    /// Reason, in your words.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
}

/// Ends a job
///
/// What it has done stays done. The page that is being decided about, of at most 100, may still be.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", operation_id = "cancelJob", request_body = Cancelled,
    params(("id" = i64, Path, description = "Its number", minimum = 1, maximum = 9223372036854775807_i64)),
    responses((status = 200, description = "The job, which has ended", body = Document<JobDocument>),
        (status = 409, description = "It has ended before", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    State(api): State<Api>,
    operator: Operator,
    Path(id): Path<String>,
    query: Parameters,
    Json(asked): Json<Cancelled>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let id = parameters::id(&id)?;
    let decision = decision(&operator, asked.why);
    api.decide(move |open| async move {
        let cancelled = open.roles.jobs.cancel_job(id, &decision).await?;
        let job = open.roles.jobs.job(id).await?.ok_or_else(|| unknown(id))?;
        match cancelled {
            true => Ok(JobDocument::from(&job)),
            false => {
                Err(Problem::new(StatusCode::CONFLICT, format!("job {id} has ended before: {}", jobs::state(&job))))
            }
        }
    })
    .await
}

fn unknown(id: i64) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("job {id} does not exist"))
}

impl Open {
    fn for_jobs(&self) -> JobBackends {
        let roles = self.roles.clone();
        JobBackends {
            queue: roles.producer,
            jobs: roles.jobs,
            dead_letters: roles.dead_letters,
            decisions: roles.decisions,
            search: roles.search,
            reports: roles.reports,
        }
    }
}
