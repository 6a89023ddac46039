//! Answers scrapes, each within the scraper's timeout. Those that wait share a rendering, so that they cost no more than one
//! however many there are.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::negotiation::negotiate;
use crate::observe::metrics::{Endpoint, Format, ScrapeOutcome};

#[cfg(test)]
mod tests;

/// Renderings at once: while one hangs, the others are answered.
const MOST_AT_ONCE: usize = 2;

/// The limit for a scraper that names no timeout or a longer one: Prometheus's own default.
const LONGEST: Duration = Duration::from_secs(10);

/// The share of a scraper's timeout that is spent here. The network needs the rest.
const SHARE_OF_TIMEOUT: f64 = 0.9;

const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Renders the metrics and counts how each scrape ended.
pub(super) struct Scrapes {
    endpoint: Endpoint,
    render: Arc<dyn Fn(Format) -> Vec<u8> + Send + Sync>,
    turns: Arc<Semaphore>,
    /// The renderings that have not begun, one of each format at most.
    next: Arc<Mutex<Vec<(Format, Rendering)>>>,
}

/// Its result, or `None` if it broke off; for everyone who waits for it.
type Rendering = Shared<BoxFuture<'static, Option<Bytes>>>;

impl Scrapes {
    pub(super) fn new(endpoint: Endpoint, render: impl Fn(Format) -> Vec<u8> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            render: Arc::new(render),
            turns: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            next: Arc::default(),
        })
    }

    /// One that begins from now on, as a scraper wants to see what happened before it asked.
    fn rendering(&self, format: Format) -> Rendering {
        let mut next = self.next.lock();
        if let Some((_, rendering)) = next.iter().find(|(of, _)| *of == format) {
            return rendering.clone();
        }
        let (turns, render, waiting) = (Arc::clone(&self.turns), Arc::clone(&self.render), Arc::clone(&self.next));
        // A task, as it goes on when those who asked have left.
        let rendering = tokio::spawn(async move {
            let turn = turns.acquire_owned().await.ok()?;
            waiting.lock().retain(|(of, _)| *of != format);
            let rendering = tokio::task::spawn_blocking(move || {
                // Held until the rendering ends: those that hang don't pile up.
                let _turn = turn;
                render(format)
            });
            rendering.await.ok().map(Bytes::from)
        });
        let rendering = rendering.map(|ended| ended.ok().flatten()).boxed().shared();
        next.push((format, rendering.clone()));
        rendering
    }

    fn refuse(&self, outcome: ScrapeOutcome, status: StatusCode, why: String) -> Response {
        self.endpoint.ended(outcome);
        (status, why).into_response()
    }
}

/// Answers `GET /metrics`.
pub(super) async fn metrics(State(scrapes): State<Arc<Scrapes>>, headers: HeaderMap) -> Response {
    let _in_flight = scrapes.endpoint.begin();
    let accepted: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let (format, content_type) = negotiate(&accepted.join(","));
    let limit = limit(&headers);
    match timeout(limit, scrapes.rendering(format)).await {
        Ok(Some(body)) => {
            scrapes.endpoint.ended(ScrapeOutcome::Ok);
            ([(header::CONTENT_TYPE, content_type.as_str()), (header::VARY, "accept")], body).into_response()
        }
        Ok(None) => {
            let why = "the metrics could not be rendered: a collector failed; see the worker's log\n".to_owned();
            scrapes.refuse(ScrapeOutcome::Failed, StatusCode::INTERNAL_SERVER_ERROR, why)
        }
        Err(_) => {
            let why =
                format!("the metrics could not be rendered within {limit:?}, the scraper's timeout less a tenth\n");
            scrapes.refuse(ScrapeOutcome::TimedOut, StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

/// The time for one scrape: a little less than the scraper waits.
fn limit(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(TIMEOUT).and_then(|value| value.to_str().ok()?.parse().ok());
    let asked = seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    asked.unwrap_or(LONGEST).min(LONGEST).mul_f64(SHARE_OF_TIMEOUT)
}
