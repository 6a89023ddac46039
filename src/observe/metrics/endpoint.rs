//! What `/metrics` says of itself.

use enum_map::Enum;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;

use super::labelled::Labelled;
use super::registering::{Count, Counted, metrics};

/// Scrapes are answered from memory: from one that nothing disturbs to one that gets no processor.
const SCRAPE_SECONDS: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

/// How a scrape ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ScrapeOutcome {
    /// Answered.
    Ok,
    /// Not answered within the scraper's timeout.
    TimedOut,
    /// Rendering broke off.
    Failed,
}

/// Why a connection to the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Closed {
    /// Its client left, or its last answer was sent.
    Ended,
    /// Handshake or head were not whole in time, or it was silent for too long between two requests.
    TooSlow,
    /// It did not speak HTTP, or TLS where that is spoken.
    Invalid,
    /// It had been open for as long as any may be.
    TooOld,
    /// It made room for another, and had sent no whole head yet.
    MadeRoomWaiting,
    /// It made room for another between two requests.
    MadeRoomIdle,
    /// It made room for another with a request under way, whose answer its client did not take.
    MadeRoomBusy,
}

/// A source of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Source {
    /// What events moved.
    Events,
    /// The tokio runtime.
    Runtime,
    /// glibc's allocator.
    Allocator,
    /// `/proc`.
    Process,
    /// The control group.
    Cgroup,
    /// The endpoint itself.
    Endpoint,
}

metrics! {
    /// Scrapes as they are answered.
    #[derive(Debug, Clone)]
    pub struct Endpoint {
        /// Earlier scrapes, by outcome
        scrapes: Labelled<ScrapeOutcome, Counter> = "fulfillment_scrapes", Labelled::new("outcome");
        /// Time to render these metrics for earlier scrapes
        pub(super) rendering: Histogram = "fulfillment_scrape_duration_seconds", Histogram::new(SCRAPE_SECONDS);
        /// Scrapes being answered, this one included
        in_flight: Count = "fulfillment_scrapes_in_flight", Count::default();
        /// Connections to this server that ended, by reason
        closed: Labelled<Closed, Counter> = "fulfillment_http_connections_closed", Labelled::new("reason");
        /// Values that scrapes could not read or show, by collector
        errors: Labelled<Source, Counter> = "fulfillment_scrape_collector_errors", Labelled::new("collector");
    }
}

impl Endpoint {
    /// Counts a scrape that is in flight until the returned value is dropped.
    pub fn begin(&self) -> Counted {
        Counted::by(&self.in_flight)
    }

    /// A scrape ended.
    pub fn ended(&self, outcome: ScrapeOutcome) {
        self.scrapes[outcome].inc();
    }

    /// A connection ended.
    pub fn closed(&self, reason: Closed) {
        self.closed[reason].inc();
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
        self.0[self.1].inc();
    }

    /// The value that was read; counts an error as one.
    pub(super) fn readable<T, E>(&self, read: Result<T, E>) -> Option<T> {
        read.inspect_err(|_| self.count()).ok()
    }
}
