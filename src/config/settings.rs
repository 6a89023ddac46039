//! The resolved configuration: every value parsed, in its range, and fitting the others.

use std::fmt;
use std::io::{self, IsTerminal};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::listen::{AdminSocket, ListenAddress};
use super::origin::Origin;
use super::secret::{Secret, SecretUrl};
use crate::domain::retry::RetryPolicy;

/// The queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueTarget {
    /// `redis://`, `redis-sentinel://` or `redis-cluster://`, or with TLS `rediss…`; see docs/REDIS.md.
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

/// The store.
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

/// The fulfiller.
#[derive(Debug, Clone, PartialEq)]
pub enum FulfillerTarget {
    /// Waits, and fails at random.
    Simulated(Simulation),
    /// Calls a warehouse.
    Http(Box<HttpTarget>),
}

/// For people, without secrets.
impl fmt::Display for FulfillerTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(target) => target.url.fmt(f),
            Self::Simulated(Simulation { longest, .. }) if longest.is_zero() => f.write_str("simulated"),
            Self::Simulated(Simulation { shortest, longest, .. }) => {
                let [shortest, longest] = [*shortest, *longest].map(humantime::format_duration);
                write!(f, "simulated, {shortest} to {longest} a call")
            }
        }
    }
}

/// A warehouse, and how to call it.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTarget {
    /// Where orders are posted: `http:` or `https:`, with a host.
    pub url: SecretUrl,
    /// Sent as a bearer token; visible ASCII characters only.
    pub token: Option<Secret>,
    /// The file that the token is from. It may change, see [`Self::read_again`].
    pub token_file: Option<PathBuf>,
    /// Each signs every request (Standard Webhooks): `whsec_` and base64.
    pub signing_secrets: Vec<Secret>,
    /// The file that they are from. It may change too.
    pub signing_secrets_file: Option<PathBuf>,
    /// PEM file of the authorities trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// For mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
    /// Largest number of concurrent calls.
    pub concurrency: Option<NonZeroUsize>,
    /// Largest number of calls per second.
    pub rate: Option<NonZeroU32>,
    /// Largest share of repeated calls while the warehouse fails, from 0 to 1.
    pub retry_budget: f64,
    /// Whether link-local and cloud metadata addresses may be called.
    pub allow_link_local: bool,
    /// Time limit of a call from its start, with waiting for limits and polling.
    pub deadline: Duration,
    /// How long a call polls an order that the warehouse has accepted, before it hands the order back.
    pub patience: Duration,
}

/// A call's deadline as a share of the engine's time limit: the call ends first, and its error says more.
const DEADLINE_SHARE: f64 = 0.95;

impl HttpTarget {
    /// A warehouse with neither secrets nor limits, and a call's deadline a little shorter than `call_timeout`.
    pub fn new(url: SecretUrl, call_timeout: Duration) -> Self {
        Self {
            url,
            token: None,
            token_file: None,
            signing_secrets: Vec::new(),
            signing_secrets_file: None,
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

/// Whom to trust, and what to show, where Redis is reached by TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueTls {
    /// PEM file of the authorities trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// For mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
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
    /// Seed that makes the run repeatable.
    pub seed: Option<u64>,
}

/// Queue and store, for every command that uses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backends {
    /// The queue.
    pub queue: QueueTarget,
    /// For a queue in Redis that is reached by TLS.
    pub queue_tls: QueueTls,
    /// Key of the Redis list.
    pub queue_key: String,
    /// The store.
    pub store: StoreTarget,
    /// Largest number of connections to Postgres, at least 4.
    pub store_connections: usize,
    /// Time after which another worker takes the messages and rows of a silent one.
    pub lease: Duration,
    /// Whether to record each transition in the timeline.
    pub events: bool,
}

/// How to find orders that lost their message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// Time between searches.
    pub interval: Duration,
    /// Time without a change after which the message of an order counts as lost.
    pub grace: Duration,
    /// Orders without a change for longer than this are left alone.
    pub max_age: Duration,
}

/// The configuration of a worker.
///
/// ```
/// use std::time::Duration;
///
/// use fulfillment_worker::settings::Settings;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut settings = Settings::embedded("orders.db")?; // or Settings::from_environment()
/// settings.call_timeout = Duration::from_secs(5);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Queue and store.
    pub backends: Backends,
    /// The fulfiller.
    pub fulfiller: FulfillerTarget,
    /// Time limit of one call to the fulfiller.
    pub call_timeout: Duration,
    /// Where to listen, for metrics, health and the page; at least one.
    pub listen: Vec<ListenAddress>,
    /// The Unix socket through which this user may change the worker's state.
    pub admin_socket: AdminSocket,
    /// Who may look there, and who may act.
    pub access: AccessSettings,
    /// Largest number of orders in flight, at least 1.
    pub concurrency: usize,
    /// How failed attempts are retried.
    pub retry: RetryPolicy,
    /// How lost messages are replaced; `None` if not at all.
    pub reconcile: Option<ReconcileSettings>,
    /// How long the timelines of finished orders are kept; `None`: for ever.
    pub keep_events: Option<Duration>,
    /// From when on orders that lost their message are taken in; `None`: from the first start on, or whatever was chosen
    /// before.
    pub reconcile_from: Option<Timestamp>,
    /// Longest time from the signal to the exit.
    pub drain_timeout: Duration,
    /// Whether the drain puts what it gives back on the producers' list.
    pub drain_to_list: bool,
    /// Whether to create or update the worker's own tables at start.
    pub migrate: bool,
    /// How long to wait for servers at start; `None` waits without limit.
    pub wait: Option<Duration>,
    /// Name of this service in logs and build info.
    pub service_name: String,
    /// Where the page leads.
    pub page: PageSettings,
    /// How an attempt's span belongs to its producer's, where traces are exported.
    pub tracing_propagation: Propagation,
    /// The orders that have lines of their own in the log, at `info` and above.
    pub log_orders: LogOrders,
}

/// Links of the page, `http:` or `https:`. Everybody who may open the page sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageSettings {
    /// Your runbook.
    pub runbook_url: Option<String>,
    /// Your dashboards.
    pub grafana_url: Option<String>,
}

/// Who may look at a worker over the network, and who may act.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessSettings {
    /// The file with TLS and users, in the format of Prometheus' exporter-toolkit.
    pub web_config: Option<PathBuf>,
    /// Those of its users who may change the worker's state.
    pub operators: Vec<String>,
}

/// How the span of an attempt belongs to the span of its producer
/// (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/#span-relationships>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Propagation {
    /// A trace of its own that links to the producer's span
    #[default]
    Link,
    /// A part of the producer's trace, recorded if that is
    Parent,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LogFormat {
    /// One JSON object per line
    Json,
    /// For people
    Text,
}

impl LogFormat {
    /// Text where standard error is a terminal, JSON otherwise.
    pub fn detect() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// The orders that have lines of their own in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LogOrders {
    /// None
    Off,
    /// Failed attempts and dead letters, at most 100 lines a second
    #[default]
    Failures,
    /// Each order, with the outcome of each attempt
    All,
}

/// The log filter and the format of log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `None` decides by the output: text on a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
    /// A `tracing` filter such as `info` or `info,fulfillment_worker=debug`; checked already.
    pub filter: String,
    /// The source of the filter.
    pub filter_origin: Origin,
    /// Name of this service in each line.
    pub service_name: String,
}
