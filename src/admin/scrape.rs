//! Answers scrapes, each within the scraper's timeout. Those that wait share a rendering, and renderings have pauses between
//! them, so that scrapes cost a share of a processor at most, however many there are.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::negotiation::negotiate;
use crate::observe::metrics::{Endpoint, Format, ScrapeOutcome};

#[cfg(test)]
mod tests;

/// Renderings at once: while one hangs, the others are answered.
const MOST_AT_ONCE: usize = 2;

/// The pause after a rendering, as a multiple of the time that it took: scrapes one after the other don't feel it, and a
/// crowd of clients that ask without end leaves the processors to the orders.
const PAUSE: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

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
    /// The renderings that have not begun, one of each shape at most.
    next: Arc<Mutex<Vec<(Shape, Rendering)>>>,
}

/// What scrapers that share a rendering get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: Format,
    zipped: bool,
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
    fn rendering(&self, shape: Shape) -> Rendering {
        let mut next = self.next.lock();
        if let Some((_, rendering)) = next.iter().find(|(of, _)| *of == shape) {
            return rendering.clone();
        }
        let (turns, render, waiting) = (Arc::clone(&self.turns), Arc::clone(&self.render), Arc::clone(&self.next));
        // A task, as it goes on when those who asked have left.
        let rendering = tokio::spawn(async move {
            let turn = turns.acquire_owned().await.ok()?;
            waiting.lock().retain(|(of, _)| *of != shape);
            let rendering = tokio::task::spawn_blocking(move || {
                let began = Instant::now();
                let text = render(shape.format);
                let body = if shape.zipped { zip(&text) } else { Ok(text) };
                // Held until the rendering ends: those that hang don't pile up.
                (body, turn, began.elapsed())
            });
            let (body, turn, took) = rendering.await.ok()?;
            tokio::spawn(async move {
                sleep((took * PAUSE).min(LONGEST_PAUSE)).await;
                drop(turn);
            });
            body.ok().map(Bytes::from)
        });
        let rendering = rendering.map(|ended| ended.ok().flatten()).boxed().shared();
        next.push((shape, rendering.clone()));
        rendering
    }

    fn refuse(&self, outcome: ScrapeOutcome, status: StatusCode, why: String) -> Response {
        self.endpoint.ended(outcome);
        (status, why).into_response()
    }
}

fn zip(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(text)?;
    zipped.finish()
}

/// Whether the client names gzip, and doesn't rule it out.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let quality = quality.trim().to_ascii_lowercase();
        let quality: f32 = quality.strip_prefix("q=").and_then(|quality| quality.parse().ok()).unwrap_or_default();
        name.trim().eq_ignore_ascii_case("gzip") && quality > 0.0
    })
}

/// Answers `GET /metrics`.
pub(super) async fn metrics(State(scrapes): State<Arc<Scrapes>>, headers: HeaderMap) -> Response {
    let _in_flight = scrapes.endpoint.begin();
    let accepted: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let (format, content_type) = negotiate(&accepted.join(","));
    let limit = limit(&headers);
    let zipped = takes_gzip(&headers);
    match timeout(limit, scrapes.rendering(Shape { format, zipped })).await {
        Ok(Some(body)) => {
            scrapes.endpoint.ended(ScrapeOutcome::Ok);
            let what = [(header::CONTENT_TYPE, content_type.as_str()), (header::VARY, "accept, accept-encoding")];
            let mut answer = (what, body).into_response();
            if zipped {
                answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            answer
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
