//! `/api/v1`: what operators and viewers ask of the store through a worker, for programs. The documents are those that
//! commands print as JSON.
//!
//! Its work is done on the worker's own threads, few requests at once: the thread of `/metrics` and probes only passes
//! answers on.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{StatusCode, header};
use axum::middleware::{from_extractor, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::body::{HoldSeconds, Plain, Time, Whole};
use crate::admin::{Operator, Problem, Viewer, refuse_bodies};
use crate::domain::text;
use crate::event::Observers;
use crate::operations::documents::Document;
use crate::operations::documents::status::Place;
use crate::port::activity::ActivityLog;
use crate::port::controls::Controls;
use crate::port::dead_letters::{DeadLetters, Decision};
use crate::port::decisions::{HoldEnd, OrderDecisions};
use crate::port::intake::Intake;
use crate::port::jobs::Jobs;
use crate::port::queue::{Producer, QueueError, QueueReports};
use crate::port::reports::Reports;
use crate::port::retrying::Retrying;
use crate::port::search::{Feed, Notes, OrderSearch};
use crate::port::store::StoreError;

mod activity;
mod body;
mod controls;
mod dead_letters;
mod decide;
mod description;
mod events;
mod fleet;
mod intake;
mod jobs;
mod orders;
mod parameters;
mod reason;
mod status;
mod told;

/// How long a request may take. A statement that takes longer ends by its own limit, and its place is taken until then.
const LIMIT: Duration = Duration::from_secs(10);

/// How long a server that doesn't answer is asked again.
const RETRY_FOR: Duration = Duration::from_secs(5);

/// Characters of a name that are kept.
const MOST_NAME: usize = 100;

/// Requests that read, and requests that decide, which are worked on at once, at most.
const MOST_AT_ONCE: usize = 4;

/// Of the connections to the store, the API takes one in so many, and one at least.
const SHARE: usize = 4;

/// What the API works through.
#[derive(Clone)]
pub struct Roles {
    /// Says how full the queue is.
    pub queue: Arc<dyn QueueReports>,
    /// Takes messages.
    pub producer: Arc<dyn Producer>,
    /// Finds orders.
    pub search: Arc<dyn OrderSearch>,
    /// Reads orders and timelines.
    pub reports: Arc<dyn Reports>,
    /// Has the dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Cancels, holds and releases.
    pub decisions: Arc<dyn OrderDecisions>,
    /// Takes down who decided.
    pub notes: Arc<dyn Notes>,
    /// Has the controls and the registry.
    pub controls: Arc<dyn Controls>,
    /// Has what people did.
    pub activity: Arc<dyn ActivityLog>,
    /// Inserts orders.
    pub intake: Arc<dyn Intake>,
    /// Reads transitions as they happen.
    pub feed: Arc<dyn Feed>,
    /// Where queue and store are.
    pub place: Place,
    /// Keeps the jobs.
    pub jobs: Arc<dyn Jobs>,
    /// How long a worker may stay silent before another one takes its order over.
    pub lease: Duration,
}

/// The API. Until its backends answer, it answers 503.
#[derive(Clone, Default)]
pub struct Api(Arc<OnceLock<Open>>);

#[derive(Clone)]
struct Open {
    roles: Roles,
    /// The worker's threads.
    threads: Handle,
    /// For what reads, and for what decides: neither waits for the other.
    reading: Arc<Semaphore>,
    deciding: Arc<Semaphore>,
    /// Ends what is repeated.
    stop: CancellationToken,
}

impl Api {
    /// Works through these from now on, on the threads of the runtime that this is called in, and takes its share of
    /// `connections` to the store.
    pub fn open(&self, roles: Roles, connections: usize, stop: CancellationToken) {
        let places = || Arc::new(Semaphore::new((connections / SHARE).clamp(1, MOST_AT_ONCE)));
        // A second time changes nothing.
        let _ = self.0.set(Open { roles, threads: Handle::current(), reading: places(), deciding: places(), stop });
    }

    /// Every path below `/api/v1`. `observers` learn of each request.
    pub fn router(self, observers: Observers) -> Router {
        Router::new()
            .merge(orders::router())
            .merge(dead_letters::router())
            .merge(fleet::router())
            .merge(activity::router())
            .merge(decide::router())
            .merge(controls::router())
            .merge(intake::router())
            .merge(events::router())
            .merge(status::router())
            .merge(jobs::router())
            .route_layer(from_extractor::<Viewer>())
            .route("/openapi.json", reading(description::openapi))
            .fallback(async || {
                Problem::new(StatusCode::NOT_FOUND, "there is no such path; /api/v1/openapi.json has all")
            })
            .layer(DefaultBodyLimit::max(body::MOST_BYTES))
            .layer(from_fn_with_state(observers, told::tell))
            .with_state(self)
    }

    /// Answers with what `work` finds out.
    ///
    /// # Errors
    /// That of `work`; or 503 before the backends answer, when enough is being worked on, and when it takes too long.
    async fn answer<T, F>(&self, work: impl FnOnce(Open) -> F) -> Result<Response, Problem>
    where
        T: Serialize + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        self.within(|open| &open.reading, ok(work)).await
    }

    /// The same with what `work` does, which goes on where nobody waits for it any more.
    async fn decide<T, F>(&self, work: impl FnOnce(Open) -> F) -> Result<Response, Problem>
    where
        T: Serialize + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        self.within(|open| &open.deciding, ok(work)).await
    }

    /// The same with a status.
    async fn decide_as<T, F>(&self, work: impl FnOnce(Open) -> F) -> Result<Response, Problem>
    where
        T: Serialize + 'static,
        F: Future<Output = Result<(StatusCode, T), Problem>> + Send + 'static,
    {
        self.within(|open| &open.deciding, work).await
    }

    async fn within<T, F>(
        &self,
        places: impl FnOnce(&Open) -> &Arc<Semaphore>,
        work: impl FnOnce(Open) -> F,
    ) -> Result<Response, Problem>
    where
        T: Serialize + 'static,
        F: Future<Output = Result<(StatusCode, T), Problem>> + Send + 'static,
    {
        let open =
            self.0.get().ok_or_else(|| Problem::unavailable("the worker is not ready yet; /readyz says why", 1))?;
        let place = Arc::clone(places(open)).try_acquire_owned().map_err(|_| {
            Problem::unavailable("other requests of the API are being worked on; this worker takes few at once", 1)
        })?;
        let work = work(open.clone());
        let working = open.threads.spawn(async move {
            // Until it is over, also where nobody waits for it any more.
            let _place = place;
            work.await.and_then(|(status, document)| json(status, &Document::of(document)))
        });
        match timeout(LIMIT, working).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_panic() => {
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a fault of this program; its log says more"))
            }
            Ok(Err(_)) => Err(Problem::unavailable("the worker is ending", 5)),
            Err(_) => Err(Problem::unavailable(
                format!("no answer within {} s; try again, or ask for less", LIMIT.as_secs()),
                5,
            )),
        }
    }
}

fn ok<T, F>(work: impl FnOnce(Open) -> F) -> impl FnOnce(Open) -> BoxFuture<'static, Result<(StatusCode, T), Problem>>
where
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    |open| work(open).map_ok(|document| (StatusCode::OK, document)).boxed()
}

impl Open {
    fn retrying(&self) -> Retrying {
        Retrying { limit: Some(RETRY_FOR), stop: self.stop.clone() }
    }
}

/// Who decides, and why.
fn decision(operator: &Operator, why: Plain<500>) -> Decision {
    Decision { by: operator.to_string().chars().take(MOST_NAME).collect(), reason: why.0 }
}

/// How long something is to last.
fn lasts<const MOST: i64>(seconds: Option<Whole<1, MOST>>) -> Option<Duration> {
    seconds.map(|seconds| Duration::from_secs(seconds.0.unsigned_abs()))
}

/// When a hold is to end.
fn hold_end(seconds: Option<HoldSeconds>, until: Option<Time>) -> Result<HoldEnd, Problem> {
    match (lasts(seconds), until) {
        (None, None) => Ok(HoldEnd::Never),
        (Some(time), None) => Ok(HoldEnd::After(time)),
        (None, Some(Time(until))) => Ok(HoldEnd::At(until.as_microsecond())),
        (Some(_), Some(_)) => {
            Err(Problem::of_field("until", "and `for_seconds` exclude each other").with_status(StatusCode::CONFLICT))
        }
    }
}

/// A route that reads, and takes no body.
fn reading<H: Handler<T, Api>, T: 'static>(handler: H) -> MethodRouter<Api> {
    get(handler).route_layer(from_fn(refuse_bodies))
}

/// Readers show what others wrote in it on a terminal.
fn json(status: StatusCode, document: &impl Serialize) -> Result<Response, Problem> {
    let json = serde_json::to_string(document)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer is no JSON: {error}")))?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], text::json(&json).into_owned()).into_response())
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Schema(_) => Self::unavailable(error.to_string(), 5),
            StoreError::Tables(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error.is_transient() {
            true => Self::unavailable(error.to_string(), 5),
            false => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}
