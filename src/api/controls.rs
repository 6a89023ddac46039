//! What operators set for workers: pauses and limits.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::{Json, Plain, Whole};
use super::parameters::Parameters;
use super::{Api, decision, lasts};
use crate::admin::{Operator, Problem};
use crate::operations::controls::{self, ControlError, FOLLOW_LIMIT, Followed};
use crate::operations::documents::Document;
use crate::operations::documents::fleet::FollowedDocument;
use crate::port::controls::{Control, Target};
use crate::port::dead_letters::Decision;

/// How long something is set, a year at most.
type Seconds = Whole<1, 31_557_600>;

/// Calls at once.
type Calls = Whole<1, 100_000>;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/pause", post(pause))
        .route("/quiet", post(quiet))
        .route("/resume", post(resume))
        .route("/limits/concurrency", post(concurrency))
        .route("/limits/rate", post(rate))
        .route("/limits/clear", post(clear))
}

/// A pause of the fleet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    /// Reason, in your words.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// By the store's clock; until `resume` if it is missing or null.
    #[schema(inline)]
    for_seconds: Option<Seconds>,
}

/// A pause of one worker.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quiet {
    /// Its name in the list of workers.
    #[schema(value_type = String, min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    worker: Plain<100>,
    /// Reason, in your words.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// By the store's clock; until `resume` if it is missing or null.
    #[schema(inline)]
    for_seconds: Option<Seconds>,
}

/// The end of a pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    /// The worker to resume; the fleet if it is missing or null.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    worker: Option<Plain<100>>,
    /// Reason, in your words.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
}

/// A limit of calls at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Concurrency {
    /// Calls to the fulfiller at once, of each worker.
    #[schema(value_type = u32, minimum = 1, maximum = 100000)]
    value: Calls,
    /// For this worker alone; for the fleet if it is missing or null.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    worker: Option<Plain<100>>,
    /// Reason, in your words.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// By the store's clock; until it is cleared if it is missing or null.
    #[schema(inline)]
    for_seconds: Option<Seconds>,
}

/// A limit of claims.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    /// Messages that each worker claims per second.
    #[schema(minimum = 0.001, maximum = 1000000)]
    value: f64,
    /// For this worker alone; for the fleet if it is missing or null.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    worker: Option<Plain<100>>,
    /// Reason, in your words.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// By the store's clock; until it is cleared if it is missing or null.
    #[schema(inline)]
    for_seconds: Option<Seconds>,
}

/// The end of a limit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Clear {
    limit: Limit,
    /// For this worker; for the fleet if it is missing or null.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    worker: Option<Plain<100>>,
    /// Reason, in your words.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
}

/// What is limited.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Limit {
    /// Calls at once.
    Concurrency,
    /// Claims per second.
    Rate,
}

/// Pauses the fleet: no worker claims a message
///
/// In force on every worker within 2 s, and kept in the store. Waits up to 5 s until each worker that reports has stopped to
/// claim; `outstanding` names those that have not.
#[utoipa::path(post, path = "/api/v1/pause", tag = "fleet", operation_id = "pause", request_body = Pause,
    responses((status = 200, description = "Who has followed", body = Document<FollowedDocument>)))]
pub(super) async fn pause(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(asked): Json<Pause>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let setting = Setting::new(Control::Pause, None, None, asked.for_seconds);
    setting.set(&api, decision(&operator, asked.why)).await
}

/// Quiets one worker: it claims no further message
#[utoipa::path(post, path = "/api/v1/quiet", tag = "fleet", operation_id = "quiet", request_body = Quiet,
    responses((status = 200, description = "Whether it has followed", body = Document<FollowedDocument>)))]
pub(super) async fn quiet(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(asked): Json<Quiet>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let setting = Setting::new(Control::Pause, None, Some(asked.worker), asked.for_seconds);
    setting.set(&api, decision(&operator, asked.why)).await
}

/// Resumes the fleet after a pause, or one worker
#[utoipa::path(post, path = "/api/v1/resume", tag = "fleet", operation_id = "resume", request_body = Resume,
    responses((status = 200, description = "`changed` says whether it was paused", body = Document<FollowedDocument>)))]
pub(super) async fn resume(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(asked): Json<Resume>,
) -> Result<Response, Problem> {
    query.none_left()?;
    cleared(&api, Control::Pause, asked.worker, decision(&operator, asked.why)).await
}

/// Limits the calls at once of each worker
#[utoipa::path(post, path = "/api/v1/limits/concurrency", tag = "fleet", operation_id = "limitConcurrency", request_body = Concurrency,
    responses((status = 200, description = "It is set", body = Document<FollowedDocument>)))]
pub(super) async fn concurrency(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(asked): Json<Concurrency>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let setting = Setting::new(Control::Concurrency, Some(asked.value.0 as f64), asked.worker, asked.for_seconds);
    setting.set(&api, decision(&operator, asked.why)).await
}

/// Limits the claims per second of each worker
#[utoipa::path(post, path = "/api/v1/limits/rate", tag = "fleet", operation_id = "limitRate", request_body = Rate,
    responses((status = 200, description = "It is set", body = Document<FollowedDocument>)))]
pub(super) async fn rate(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(asked): Json<Rate>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let setting = Setting::new(Control::Rate, Some(asked.value), asked.worker, asked.for_seconds);
    setting.set(&api, decision(&operator, asked.why)).await
}

/// Clears a limit
#[utoipa::path(post, path = "/api/v1/limits/clear", tag = "fleet", operation_id = "clearLimit", request_body = Clear,
    responses((status = 200, description = "`changed` says whether it was set", body = Document<FollowedDocument>)))]
pub(super) async fn clear(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(asked): Json<Clear>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let control = match asked.limit {
        Limit::Concurrency => Control::Concurrency,
        Limit::Rate => Control::Rate,
    };
    cleared(&api, control, asked.worker, decision(&operator, asked.why)).await
}

struct Setting {
    control: Control,
    value: Option<f64>,
    target: Target,
    lasts: Option<Duration>,
}

impl Setting {
    fn new(control: Control, value: Option<f64>, worker: Option<Plain<100>>, for_seconds: Option<Seconds>) -> Self {
        Self { control, value, target: target(worker), lasts: lasts(for_seconds) }
    }

    async fn set(self, api: &Api, decision: Decision) -> Result<Response, Problem> {
        let Self { control, value, target, lasts } = self;
        api.decide(move |open| async move {
            let store = &*open.roles.controls;
            controls::set(store, control, &target, value, lasts, &decision).await?;
            let followed = match control {
                Control::Pause => controls::followed(store, &target, FOLLOW_LIMIT).await?,
                _ => Followed::default(),
            };
            Ok(FollowedDocument { changed: true, followed })
        })
        .await
    }
}

async fn cleared(
    api: &Api,
    control: Control,
    worker: Option<Plain<100>>,
    decision: Decision,
) -> Result<Response, Problem> {
    let target = target(worker);
    api.decide(move |open| async move {
        let changed = controls::clear(&*open.roles.controls, control, &target, &decision).await?;
        Ok(FollowedDocument { changed, followed: Followed::default() })
    })
    .await
}

fn target(worker: Option<Plain<100>>) -> Target {
    worker.map_or(Target::Fleet, |worker| Target::Worker(worker.0))
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Store(error) => error.into(),
            ControlError::UnknownWorker(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            ControlError::Value(problem) => Self::of_field("value", problem),
        }
    }
}
