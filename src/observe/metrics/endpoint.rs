//! What `/metrics` says of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::instruments::{Count, plain, seconds};
use super::labelled::Labelled;

/// Scrapes are answered from memory: from one that nothing disturbs to one that gets no processor.
const SCRAPE_SECONDS: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

/// How a scrape ended. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScrapeOutcome {
    /// Answered.
    Ok,
    /// Not answered within the scraper's timeout.
    TimedOut,
    /// There were too many at once.
    Refused,
    /// Rendering broke off.
    Failed,
}

impl ScrapeOutcome {
    /// Every outcome, for metrics that show each from the start.
    pub const ALL: [Self; 4] = [Self::Ok, Self::TimedOut, Self::Refused, Self::Failed];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Who tells of metrics. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// What events moved.
    Events,
    /// The tokio runtime.
    Runtime,
    /// jemalloc.
    Allocator,
    /// `/proc`.
    Process,
    /// The control group.
    Cgroup,
    /// The endpoint itself.
    Endpoint,
}

impl Source {
    pub(super) const ALL: [Self; 6] =
        [Self::Events, Self::Runtime, Self::Allocator, Self::Process, Self::Cgroup, Self::Endpoint];

    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Runtime => "runtime",
            Self::Allocator => "allocator",
            Self::Process => "process",
            Self::Cgroup => "cgroup",
            Self::Endpoint => "endpoint",
        }
    }
}

/// Scrapes as they are answered.
#[derive(Debug, Clone)]
pub struct Endpoint {
    scrapes: Labelled<ScrapeOutcome, Counter>,
    in_flight: Count,
    pub(super) rendering: Histogram,
    errors: Labelled<Source, Counter>,
}

/// A scrape that is in flight until this is dropped.
#[derive(Debug)]
pub struct ScrapeInFlight(Count);

impl Drop for ScrapeInFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Endpoint {
    /// Makes them all, each at its start value.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let endpoint = Self {
            scrapes: Labelled::new("outcome", &ScrapeOutcome::ALL, ScrapeOutcome::as_str, Counter::default),
            in_flight: Count::default(),
            rendering: Histogram::new(SCRAPE_SECONDS),
            errors: Labelled::new("collector", &Source::ALL, Source::as_str, Counter::default),
        };
        let help = "Scrapes before this one, by how they ended";
        plain(registry, "fulfillment_scrapes", help, &endpoint.scrapes);
        let help = "Time to render these metrics for earlier scrapes";
        seconds(registry, "fulfillment_scrape_duration", help, &endpoint.rendering);
        let help = "Scrapes being answered, this one included";
        plain(registry, "fulfillment_scrapes_in_flight", help, &endpoint.in_flight);
        let help = "Values that could not be read or shown in scrapes, by who should have told them";
        plain(registry, "fulfillment_scrape_collector_errors", help, &endpoint.errors);
        endpoint
    }

    /// A scrape begins.
    pub fn begin(&self) -> ScrapeInFlight {
        self.in_flight.inc();
        ScrapeInFlight(self.in_flight.clone())
    }

    /// A scrape ended.
    pub fn ended(&self, outcome: ScrapeOutcome) {
        self.scrapes.with(outcome, |count| count.inc());
    }

    /// Where a source counts what it could not read.
    pub(super) fn errors_of(&self, source: Source) -> Errors {
        Errors(self.errors.clone(), source)
    }
}

/// Counts what a source could not read or show.
#[derive(Debug, Clone)]
pub(super) struct Errors(Labelled<Source, Counter>, Source);

impl Errors {
    pub(super) fn count(&self) {
        self.0.with(self.1, |errors| errors.inc());
    }

    /// What was read. Nothing, and one error more, if it could not be.
    pub(super) fn readable<T, E>(&self, read: Result<T, E>) -> Option<T> {
        read.inspect_err(|_| self.count()).ok()
    }
}
