//! Requests of `/api/v1`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use enum_map::{Enum, EnumMap};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;

use super::labelled::Labelled;
use super::registering::metrics;
use crate::domain::label::Label;
use crate::event::ApiEvent;

/// From one that finds its answer in memory to one that is given up.
const SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Method and path of each route, as the description of the API has them.
pub(crate) const ROUTES: [(&str, &str); 29] = [
    ("GET", "/api/v1/activity"),
    ("GET", "/api/v1/controls"),
    ("GET", "/api/v1/dead-letter-groups"),
    ("GET", "/api/v1/dead-letters"),
    ("GET", "/api/v1/dead-letters/{id}"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/{id}"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/orders"),
    ("GET", "/api/v1/orders/{id}"),
    ("GET", "/api/v1/status"),
    ("GET", "/api/v1/workers"),
    ("POST", "/api/v1/dead-letters/discard"),
    ("POST", "/api/v1/dead-letters/retry"),
    ("POST", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs/{id}/cancel"),
    ("POST", "/api/v1/limits/clear"),
    ("POST", "/api/v1/limits/concurrency"),
    ("POST", "/api/v1/limits/rate"),
    ("POST", "/api/v1/orders"),
    ("POST", "/api/v1/orders/batch"),
    ("POST", "/api/v1/orders/cancel"),
    ("POST", "/api/v1/orders/enqueue"),
    ("POST", "/api/v1/orders/hold"),
    ("POST", "/api/v1/orders/release"),
    ("POST", "/api/v1/pause"),
    ("POST", "/api/v1/quiet"),
    ("POST", "/api/v1/resume"),
];

/// The class of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, IntoStaticStr)]
enum Class {
    #[strum(serialize = "2xx")]
    Done,
    #[strum(serialize = "4xx")]
    Refused,
    #[strum(serialize = "5xx")]
    Failed,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum Kind {
    Read,
    Decide,
}

metrics! {
    pub(super) struct ApiMetrics {
        /// Requests of the API, by path, method and class of the answer's status
        requests: Requests = "fulfillment_api_requests", Requests::default();
        /// Time to answer requests of the API, by whether they read or decide
        duration: Labelled<Kind, Histogram> = "fulfillment_api_request_duration_seconds",
            Labelled::with("kind", || Histogram::new(SECONDS));
    }
}

impl ApiMetrics {
    pub(super) fn observe(&self, event: &ApiEvent<'_>) {
        match *event {
            ApiEvent::Answered { method, route, status, took } => self.answered(method, route, status, took),
            ApiEvent::Decided { .. } => {}
        }
    }

    fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        // A HEAD is a GET without its body.
        let method = if method == "HEAD" { "GET" } else { method };
        let known = ROUTES.iter().position(|known| Some(*known) == route.map(|route| (method, route)));
        let class = match status {
            ..400 => Class::Done,
            400..500 => Class::Refused,
            _ => Class::Failed,
        };
        self.requests.of(known, class).inc();
        let kind = if method == "GET" { Kind::Read } else { Kind::Decide };
        self.duration[kind].observe(took.as_secs_f64());
    }
}

type Classes = EnumMap<Class, Counter<u64, AtomicU64>>;

/// A series for each route and class, and those of what is no route.
#[derive(Debug, Clone)]
struct Requests(Arc<([Classes; ROUTES.len()], Classes)>);

impl Default for Requests {
    fn default() -> Self {
        Self(Arc::new((std::array::from_fn(|_| Classes::default()), Classes::default())))
    }
}

impl Requests {
    fn of(&self, route: Option<usize>, class: Class) -> &Counter<u64, AtomicU64> {
        let (routes, others) = &*self.0;
        let classes = route.and_then(|route| routes.get(route)).unwrap_or(others);
        &classes[class]
    }
}

impl EncodeMetric for Requests {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let (routes, others) = &*self.0;
        let of_routes = ROUTES.iter().zip(routes).map(|((method, path), classes)| (*method, *path, classes));
        for (method, path, classes) in of_routes.chain([("other", "other", others)]) {
            for (class, counter) in classes {
                let labels = [("path", path), ("method", method), ("class", class.as_str())];
                counter.encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_with_its_route_and_whatever_is_none_with_the_others() {
        let metrics = ApiMetrics::register(&mut Registry::default());
        for (method, path, status) in [
            ("GET", Some("/api/v1/orders/{id}"), 200),
            ("HEAD", Some("/api/v1/orders/{id}"), 404),
            ("POST", Some("/api/v1/orders/{id}"), 405),
            ("GET", None, 404),
            ("\u{1b}[2J", None, 405),
            ("POST", Some("/api/v1/orders"), 503),
        ] {
            metrics.answered(method, path, status, Duration::from_millis(1));
        }
        let count = |method, path, class| {
            let route = ROUTES.iter().position(|route| *route == (method, path));
            metrics.requests.of(route, class).get()
        };
        assert_eq!(count("GET", "/api/v1/orders/{id}", Class::Done), 1);
        assert_eq!(count("GET", "/api/v1/orders/{id}", Class::Refused), 1);
        assert_eq!(count("POST", "/api/v1/orders", Class::Failed), 1);
        assert_eq!(count("other", "other", Class::Refused), 3);
    }
}
