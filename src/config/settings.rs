//! The resolved configuration: every value parsed, in its range, and fitting the others.

use std::fmt;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::{Origin, redis_url};
use crate::domain::retry::RetryPolicy;

/// A URL that may hold a password: shows itself only redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(url::Url);

impl SecretUrl {
    /// Wraps a parsed URL.
    pub fn new(url: url::Url) -> Self {
        Self(url)
    }

    /// The whole URL, password and all: for connecting only.
    pub fn expose(&self) -> &url::Url {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if redis_url::show(&self.0, f)? {
            return Ok(());
        }
        let mut shown = self.0.clone();
        // A URL that has a user or a password can carry another one. A user alone may be a key, as some services have it.
        if shown.password().is_some() {
            let _ = shown.set_password(Some("***"));
        } else if !shown.username().is_empty() && shown.scheme().starts_with("http") {
            let _ = shown.set_username("***");
        }
        shown.set_query(None);
        shown.fmt(f)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueTarget {
    /// `redis://`, `redis-sentinel://` or `redis-cluster://`, or with TLS `rediss…`; see [`redis_url::parse`].
    Redis(SecretUrl),
    /// A file of the embedded database.
    Sqlite(PathBuf),
}

/// As on the command line, without the password.
impl fmt::Display for QueueTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(url) => url.fmt(f),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

/// Where orders live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreTarget {
    /// `postgres://` or `postgresql://`, with libpq's parameters such as `sslmode`.
    Postgres(SecretUrl),
    /// A file of the embedded database.
    Sqlite(PathBuf),
}

/// As on the command line, without the password.
impl fmt::Display for StoreTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(url) => url.fmt(f),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

/// A password, token or key: shows itself only as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the secret itself.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself: for using it, never for showing it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What does the work.
#[derive(Debug, Clone, PartialEq)]
pub enum FulfillerTarget {
    /// Waits, and fails now and then.
    Simulated(Simulation),
    /// Calls a warehouse.
    Http(Box<HttpTarget>),
}

/// A warehouse, and how it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTarget {
    /// Where orders are posted: `http:` or `https:`, with a host.
    pub url: SecretUrl,
    /// Sent as a bearer token; visible ASCII characters only.
    pub token: Option<Secret>,
    /// Each signs every request (Standard Webhooks): `whsec_` and base64.
    pub signing_secrets: Vec<Secret>,
    /// PEM file of the authorities trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// For mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
    /// Calls under way at once at most.
    pub concurrency: Option<NonZeroUsize>,
    /// Calls per second at most.
    pub rate: Option<NonZeroU32>,
    /// Share of the calls that may be repeated ones while the warehouse fails, from 0 to 1.
    pub retry_budget: f64,
    /// Whether link-local and cloud metadata addresses may be called.
    pub allow_link_local: bool,
    /// How long a call may take from its start, waiting for limits and polling included.
    pub deadline: Duration,
    /// How long a call asks about an order that the warehouse has accepted and not done, before it hands it back.
    pub patience: Duration,
}

/// How much earlier than the engine's own time limit for a call its deadline comes, so that what is known is told.
const DEADLINE_SHARE: f64 = 0.95;

impl HttpTarget {
    /// A warehouse with neither secrets nor limits, and a call's deadline a little shorter than `call_timeout`.
    pub fn new(url: SecretUrl, call_timeout: Duration) -> Self {
        Self {
            url,
            token: None,
            signing_secrets: Vec::new(),
            ca: None,
            client_certificate: None,
            concurrency: None,
            rate: None,
            retry_budget: 0.2,
            allow_link_local: false,
            deadline: call_timeout.mul_f64(DEADLINE_SHARE),
            patience: Duration::from_secs(2),
        }
    }
}

/// PEM files of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How the simulated fulfiller behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Shortest latency of a call.
    pub shortest: Duration,
    /// Longest latency of a call, at least `shortest`.
    pub longest: Duration,
    /// Share of calls that fail, from 0 to 1.
    pub failures: f64,
    /// Makes the run repeatable.
    pub seed: Option<u64>,
}

/// The queue, the store and how they are used: what every command that touches them needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backends {
    /// Where messages come from.
    pub queue: QueueTarget,
    /// Name of the Redis list.
    pub queue_key: String,
    /// Where orders live.
    pub store: StoreTarget,
    /// Connections to Postgres at most, at least 4.
    pub store_connections: usize,
    /// How long a silent worker keeps its messages and rows.
    pub lease: Duration,
    /// Whether each transition is kept in the timeline.
    pub events: bool,
}

/// How orders that lost their message are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// Time from one round to the next.
    pub interval: Duration,
    /// How long an order must have been left as it is before its message counts as lost.
    pub grace: Duration,
    /// Orders left as they are for longer than this are left alone.
    pub max_age: Duration,
}

/// What `run` is built from.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Queue and store.
    pub backends: Backends,
    /// What does the work.
    pub fulfiller: FulfillerTarget,
    /// How long one call to the fulfiller may take.
    pub call_timeout: Duration,
    /// Where metrics, health and page are served.
    pub listen: SocketAddr,
    /// Orders in flight at once, at least 1.
    pub concurrency: usize,
    /// How failed attempts are retried.
    pub retry: RetryPolicy,
    /// How lost messages are made good; `None` if not at all.
    pub reconcile: Option<ReconcileSettings>,
    /// From the signal to exit at most.
    pub drain_timeout: Duration,
    /// Whether `run` makes or updates the worker's own tables at start.
    pub migrate: bool,
    /// How long to wait for servers at start; `None` waits for ever.
    pub wait: Option<Duration>,
    /// Name of this service in logs and build info.
    pub service_name: String,
    /// How an attempt's span belongs to its producer's, where traces are exported.
    pub tracing_propagation: Propagation,
}

/// How the span of an attempt belongs to the span of whoever enqueued its order
/// (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/#span-relationships>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Propagation {
    /// Each attempt is a trace of its own that links to the producer's span.
    #[default]
    Link,
    /// Attempts are part of the producer's trace, and recorded if that is.
    Parent,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    /// Text where standard error is a terminal, JSON otherwise.
    pub fn detect() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `None` decides by the output: text on a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
    /// A `tracing` filter such as `info` or `info,fulfillment_worker=debug`; checked already.
    pub filter: String,
    /// Where the filter is from.
    pub filter_origin: Origin,
}
