//! Answering scrapes: several at once share a rendering, each has only so much time, and there are only so many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::negotiation::negotiate;
use crate::observe::metrics::{Endpoint, Format, ScrapeOutcome};

#[cfg(test)]
mod tests;

/// Scrapes in flight at most. Fewer than there may be connections, so that health is still told when scrapes pile up.
const MOST_AT_ONCE: usize = 16;

/// For a scraper that names no timeout, or a longer one: Prometheus's own default.
const LONGEST: Duration = Duration::from_secs(10);

/// What of a scraper's timeout is spent here. The rest is for the way there and back.
const SHARE_OF_TIMEOUT: f64 = 0.9;

const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Makes the whole answer in a format.
type Render = dyn Fn(Format) -> Vec<u8> + Send + Sync;

/// A rendering that several scrapes wait for; `None` if it broke off.
type Rendering = Shared<BoxFuture<'static, Option<Bytes>>>;

/// Whoever scrapes.
pub(super) struct Scrapes {
    endpoint: Endpoint,
    render: Arc<Render>,
    places: Semaphore,
    /// One rendering at a time: it is all processor time, of which the orders shall have the most.
    turn: Arc<Semaphore>,
    /// Renderings that have not begun, at most one for each format.
    next: Mutex<Vec<(Format, Rendering)>>,
}

impl Scrapes {
    /// Answers with what `render` makes, and tells `endpoint` of it.
    pub(super) fn new(endpoint: Endpoint, render: impl Fn(Format) -> Vec<u8> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            render: Arc::new(render),
            places: Semaphore::new(MOST_AT_ONCE),
            turn: Arc::new(Semaphore::new(1)),
            next: Mutex::default(),
        })
    }

    /// What was rendered for a scrape that comes now. It shares a rendering only with scrapes that waited for their turn
    /// with it, never one that has begun: whatever happened before it came is in its answer.
    fn rendering(self: &Arc<Self>, format: Format) -> Rendering {
        let mut next = self.next();
        if let Some((_, rendering)) = next.iter().find(|(waiting, _)| *waiting == format) {
            return rendering.clone();
        }
        // A task of its own: it goes on when whoever asked first gives up.
        let rendering = tokio::spawn(Arc::clone(self).render_next(format));
        let rendering = rendering.map(|rendered| rendered.ok().flatten()).boxed().shared();
        next.push((format, rendering.clone()));
        rendering
    }

    async fn render_next(self: Arc<Self>, format: Format) -> Option<Bytes> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        self.next().retain(|(waiting, _)| *waiting != format);
        let render = Arc::clone(&self.render);
        let rendered = tokio::task::spawn_blocking(move || {
            // Kept also when all who asked have left: no second rendering begins beside one that hangs.
            let _turn = turn;
            Bytes::from(render(format))
        });
        rendered.await.ok()
    }

    fn next(&self) -> MutexGuard<'_, Vec<(Format, Rendering)>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, outcome: ScrapeOutcome, status: StatusCode, why: String) -> Response {
        self.endpoint.ended(outcome);
        (status, why).into_response()
    }
}

/// Answers `GET /metrics`.
pub(super) async fn metrics(State(scrapes): State<Arc<Scrapes>>, headers: HeaderMap) -> Response {
    let Ok(_place) = scrapes.places.try_acquire() else {
        let why =
            format!("{MOST_AT_ONCE} scrapes are being answered already, as many as there may be; try again later\n");
        return scrapes.refuse(ScrapeOutcome::Refused, StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let _in_flight = scrapes.endpoint.begin();
    let accepted: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let wanted = negotiate(&accepted.join(","));
    let limit = limit(&headers);
    match timeout(limit, scrapes.rendering(wanted.format)).await {
        Ok(Some(body)) => {
            scrapes.endpoint.ended(ScrapeOutcome::Ok);
            ([(header::CONTENT_TYPE, wanted.content_type()), (header::VARY, "accept".to_owned())], body).into_response()
        }
        Ok(None) => {
            let why =
                "the metrics could not be rendered: a collector broke off; the worker's log has more\n".to_owned();
            scrapes.refuse(ScrapeOutcome::Failed, StatusCode::INTERNAL_SERVER_ERROR, why)
        }
        Err(_) => {
            let why =
                format!("the metrics could not be rendered within {limit:?}, what the scraper's timeout leaves\n");
            scrapes.refuse(ScrapeOutcome::TimedOut, StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

/// For how long a scrape may wait: a little less than the scraper does.
fn limit(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(TIMEOUT).and_then(|value| value.to_str().ok()?.parse().ok());
    let asked = seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    asked.unwrap_or(LONGEST).min(LONGEST).mul_f64(SHARE_OF_TIMEOUT)
}
