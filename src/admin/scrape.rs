//! Answers scrapes: a limited number at once, each within the scraper's timeout.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::negotiation::negotiate;
use crate::observe::metrics::{Endpoint, Format, ScrapeOutcome};

#[cfg(test)]
mod tests;

/// Renderings at once. Below the limit of connections, so that health is still answered when scrapes pile up.
const MOST_AT_ONCE: usize = 16;

/// The limit for a scraper that names no timeout or a longer one: Prometheus's own default.
const LONGEST: Duration = Duration::from_secs(10);

/// The share of a scraper's timeout that is spent here. The network needs the rest.
const SHARE_OF_TIMEOUT: f64 = 0.9;

const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Renders the metrics and counts how each scrape ended.
pub(super) struct Scrapes {
    endpoint: Endpoint,
    render: Arc<dyn Fn(Format) -> Vec<u8> + Send + Sync>,
    places: Arc<Semaphore>,
}

impl Scrapes {
    pub(super) fn new(endpoint: Endpoint, render: impl Fn(Format) -> Vec<u8> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { endpoint, render: Arc::new(render), places: Arc::new(Semaphore::new(MOST_AT_ONCE)) })
    }

    fn refuse(&self, outcome: ScrapeOutcome, status: StatusCode, why: String) -> Response {
        self.endpoint.ended(outcome);
        (status, why).into_response()
    }
}

/// Answers `GET /metrics`.
pub(super) async fn metrics(State(scrapes): State<Arc<Scrapes>>, headers: HeaderMap) -> Response {
    let Ok(place) = Arc::clone(&scrapes.places).try_acquire_owned() else {
        let why = format!("{MOST_AT_ONCE} scrapes are being answered already, which is the limit; try again later\n");
        return scrapes.refuse(ScrapeOutcome::Refused, StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let _in_flight = scrapes.endpoint.begin();
    let accepted: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let (format, content_type) = negotiate(&accepted.join(","));
    let render = Arc::clone(&scrapes.render);
    let rendering = tokio::task::spawn_blocking(move || {
        // Held until the rendering ends, even after its scraper has left: renderings that hang don't pile up.
        let _place = place;
        render(format)
    });
    let limit = limit(&headers);
    match timeout(limit, rendering).await {
        Ok(Ok(body)) => {
            scrapes.endpoint.ended(ScrapeOutcome::Ok);
            ([(header::CONTENT_TYPE, content_type.as_str()), (header::VARY, "accept")], body).into_response()
        }
        Ok(Err(_)) => {
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
