//! Every option that the environment and the file can set too, each defined once: name, help, default, range.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Command};
use jiff::Timestamp;

use super::fallback::Fallback;
use super::http::HttpOptions;
use super::listen::{self, AdminSocket, ListenAddresses};
use super::origin::{ConfigError, Origins};
use super::secret::Secret;
use super::server::ServerOptions;
use super::settings::{
    AccessSettings, Backends, ClientCertificate, FulfillerTarget, LogFormat, LogOrders, LogSettings, PageSettings,
    Propagation, QueueTarget, QueueTls, ReconcileSettings, Settings, Simulation, StoreTarget,
};
use super::values::{Keep, Latency, Wait};
use super::{target, values};
use crate::domain::retry::{RetryPolicy, WhenAmbiguous};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Where queue and store are. Shared by every command that touches them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queue and store")]
pub struct BackendOptions {
    /// URL of the queue: redis://HOST/DB, redis-sentinel://HOST,HOST/DB?sentinelServiceName=NAME,
    /// redis-cluster://HOST,HOST, each with rediss for TLS, unix:///SOCKET?db=DB, or sqlite:PATH. The default is for
    /// terminals alone; elsewhere --queue or --store must be set, and where one of them is sqlite:PATH, the other one's
    /// default is the same
    #[arg(long, value_name = "URL", default_value = "sqlite:fulfillment.db")]
    pub queue: Secret,

    /// Key of the Redis list
    #[arg(long, value_name = "KEY", default_value = "fulfillment_queue", value_parser = values::text(512))]
    pub queue_key: String,

    /// PEM file of the certificate authorities to trust for a rediss:// queue, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub queue_tls_ca: Option<PathBuf>,

    /// PEM file of the client certificate and its chain, for mutual TLS to a rediss:// queue
    #[arg(long, value_name = "FILE")]
    pub queue_tls_certificate: Option<PathBuf>,

    /// PEM file of that client certificate's private key
    #[arg(long, value_name = "FILE")]
    pub queue_tls_private_key: Option<PathBuf>,

    /// URL of the store: postgres://USER:PASSWORD@HOST/DB, libpq's `host=HOST dbname=DB`, or sqlite:PATH; PGHOST, PGUSER and so
    /// on fill gaps of the first two. The default is as that of --queue
    #[arg(long, value_name = "URL", default_value = "sqlite:fulfillment.db")]
    pub store: Secret,

    /// Largest number of connections to Postgres; one of them renews leases
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(4..=500))]
    pub store_connections: u16,

    /// TOML file with options as keys
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    #[command(flatten)]
    backends: BackendOptions,
    #[command(flatten)]
    work: WorkOptions,
    #[command(flatten)]
    http: HttpOptions,
    #[command(flatten)]
    simulation: SimulationOptions,
    #[command(flatten)]
    process: ProcessOptions,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Work")]
struct WorkOptions {
    /// The fulfiller: `simulated`, or the http:// or https:// URL to post orders to
    #[arg(long, value_name = "URL", default_value = "simulated")]
    fulfiller: Secret,

    /// Time limit of one call to the fulfiller; shorter than --lease over HTTP
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration(MILLISECOND, HOUR))]
    call_timeout: Duration,

    /// Largest number of calls to the fulfiller at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,

    /// Time after which another worker takes the orders of a silent one; renewed during long calls
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = values::duration(SECOND, HOUR))]
    lease: Duration,

    /// Number of failed attempts after which an order is dead-lettered
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_attempts: u32,

    /// Longest delay before the second attempt; doubles with each further attempt
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = values::duration(MILLISECOND, HOUR))]
    retry_base: Duration,

    /// Longest delay before any attempt
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration(MILLISECOND, 24 * HOUR))]
    retry_cap: Duration,

    /// What to do after a call with an unknown outcome: call again with the same key, or park the order in the dead
    /// letters, for a fulfiller that ignores idempotency keys
    #[arg(long, default_value = "retry", value_parser = when_ambiguous())]
    ambiguous: WhenAmbiguous,

    /// Interval between searches for orders that lost their message; 0 for no search
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration(Duration::ZERO, HOUR))]
    reconcile_interval: Duration,

    /// Time without a change after which the message of an order counts as lost
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = values::duration(SECOND, 24 * HOUR))]
    reconcile_grace: Duration,

    #[command(flatten)]
    adoption: AdoptionOptions,

    /// Record each transition of an order in its timeline
    #[arg(long, action = ArgAction::Set, default_value = "on",
          value_parser = values::switch("Record each transition", "Record none"))]
    events: bool,

    /// How long to keep the timeline of an order after its last transition: a duration, or `forever`. Open orders and those with a
    /// dead letter that nobody has decided about keep theirs
    #[arg(long, value_name = "DURATION", default_value = "forever", value_parser = values::keep)]
    keep_events: Keep,
}

/// Which orders without a message are left alone.
#[derive(Debug, Clone, Copy, Args)]
pub struct AdoptionOptions {
    /// Orders without a change for longer than this are left alone
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = values::duration(HOUR, 87_660 * HOUR))]
    pub reconcile_max_age: Duration,

    /// Orders without a message that were there at the very first start are left alone if they were created before this
    /// time: RFC 3339 with an offset, such as 2026-11-27T08:00:00Z. Without it, the first start chooses the time of the
    /// oldest waiting message's order, or now
    #[arg(long, value_name = "TIME", value_parser = values::past)]
    pub reconcile_from: Option<Timestamp>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Simulated fulfiller")]
struct SimulationOptions {
    /// Duration of a call, uniformly distributed: LOW..HIGH, or 0 for none
    #[arg(long, value_name = "LOW..HIGH", default_value = "500ms..2s", value_parser = values::latency)]
    simulate_latency: Latency,

    /// Share of calls that fail, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = values::share)]
    simulate_failures: f64,

    /// Seed that makes latencies and failures repeatable
    #[arg(long, value_name = "N", value_parser = values::seed)]
    simulate_seed: Option<u64>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
struct ProcessOptions {
    /// Where to listen, for metrics, health and the page: ADDRESS:PORT, :PORT for every address, or unix:PATH for a reverse
    /// proxy, as Prometheus can't scrape a Unix socket. May be given several times; in a variable, separated by commas or
    /// blanks
    #[arg(long, value_name = "ADDRESS", default_value = ":2112", value_parser = listen::parse)]
    listen: Vec<ListenAddresses>,

    /// Unix socket through which this user alone changes the worker's state, as `log` does: a path, or `off`. By default one
    /// that `log` and `healthcheck` find: in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/fulfillment-worker,
    /// /run/fulfillment-worker or /tmp/fulfillment-worker-UID
    #[arg(long, value_name = "PATH", value_parser = listen::admin_socket)]
    admin_socket: Option<AdminSocket>,

    /// File with TLS and users for --listen, in the format of Prometheus' exporter-toolkit. Without users, everybody may
    /// look, and nobody may change anything over the network
    #[arg(long, visible_alias = "web.config.file", value_name = "PATH")]
    web_config: Option<PathBuf>,

    /// Those users of --web-config who may change the worker's state, with commas between them; the others may look
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = values::text(255))]
    operators: Vec<String>,

    /// Longest time from the first signal to the exit
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = values::duration(Duration::ZERO, HOUR))]
    drain_timeout: Duration,

    /// Put messages that the drain gives back on the plain list, for another consumer than these workers; see `hand-back`
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "off", default_missing_value = "on",
          value_parser = values::switch("On the list: attempts and delays are lost", "Where only these workers look"))]
    drain_to_list: bool,

    /// Create or update the worker's own tables at start, or leave that to `migrate`
    #[arg(long, action = ArgAction::Set, default_value = "auto", value_parser = values::migrate())]
    migrate: bool,

    /// How long to wait for queue and store at start: a duration, or `forever`
    #[arg(long, value_name = "DURATION", default_value = "forever", value_parser = values::wait)]
    wait: Wait,

    /// Format of log lines; by default text on a terminal and json elsewhere
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,

    /// Log filter: a level, or one such as `warn,fulfillment_worker=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = values::log_filter)]
    log: String,

    /// Orders that have lines of their own in the log, at `info` and above
    #[arg(long, value_enum, default_value_t = LogOrders::Failures)]
    log_orders: LogOrders,

    /// Name of this service in logs, metrics and traces
    #[arg(long, value_name = "NAME", default_value = "fulfillment-worker", value_parser = values::text(64))]
    service_name: String,

    /// http:// or https:// URL of your runbook, which the page links
    #[arg(long, value_name = "URL")]
    runbook_url: Option<Secret>,

    /// http:// or https:// URL of your dashboards, which the page links
    #[arg(long, value_name = "URL")]
    grafana_url: Option<Secret>,

    /// Make each attempt a trace of its own that links to the producer's span, or a part of the producer's trace. The
    /// OTEL_* variables configure the export of traces
    #[arg(long, value_enum, default_value_t = Propagation::Link)]
    tracing_propagation: Propagation,
}

fn when_ambiguous() -> impl TypedValueParser<Value = WhenAmbiguous> {
    PossibleValuesParser::new([
        PossibleValue::new("retry").help("Call again with the same key: at least once"),
        PossibleValue::new("park").help("Dead-letter the order for a person to decide: at most once"),
    ])
    .map(|text| if text == "park" { WhenAmbiguous::Park } else { WhenAmbiguous::Retry })
}

/// The names of all options in the order of `run --help`, without `config`, which can't stand in the file.
pub fn names() -> Vec<String> {
    let command = RunOptions::augment_args(Command::new("options"));
    command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|name| *name != "config")
        .map(str::to_owned)
        .collect()
}

/// The names of all options that environment and file can set: those of `run`, and those of commands that ask a running
/// worker.
pub fn settable() -> Vec<String> {
    let command = ServerOptions::augment_args(Command::new("options"));
    let of_others = command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned));
    names().into_iter().chain(of_others).collect()
}

impl BackendOptions {
    /// Queue and store for other commands than `run`. What only matters to workers has its default.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the option; [`ConfigError::NotSet`] what neither is set nor may fall back.
    pub fn resolve(&self, origins: &Origins, fallback: Fallback) -> Result<Backends, ConfigError> {
        let backends = self.parse(origins)?;
        fallback.check(origins, &["queue", "store"])?;
        Ok(backends)
    }

    /// As [`Self::resolve`], for commands that use the queue alone: the store need not be set.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_queue(&self, origins: &Origins, fallback: Fallback) -> Result<Backends, ConfigError> {
        let backends = self.parse(origins)?;
        fallback.check(origins, &["queue"])?;
        Ok(backends)
    }

    /// As [`Self::resolve`], for commands that use the store alone: the queue need not be set.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_store(&self, origins: &Origins, fallback: Fallback) -> Result<Backends, ConfigError> {
        let backends = self.parse(origins)?;
        fallback.check(origins, &["store"])?;
        Ok(backends)
    }

    fn parse(&self, origins: &Origins) -> Result<Backends, ConfigError> {
        let queue = QueueTarget::read(self.queue.expose(), origins.queue_password())
            .map_err(|problem| origins.error("queue", problem))?;
        Ok(Backends {
            queue_tls: self.queue_tls(&queue, origins)?,
            queue,
            queue_key: self.queue_key.clone(),
            store: StoreTarget::read(self.store.expose(), origins.libpq())
                .map_err(|problem| origins.error("store", problem))?,
            store_connections: usize::from(self.store_connections),
            lease: 15 * SECOND,
            events: true,
        })
    }

    fn queue_tls(&self, queue: &QueueTarget, origins: &Origins) -> Result<QueueTls, ConfigError> {
        let client_certificate = match (&self.queue_tls_certificate, &self.queue_tls_private_key) {
            (Some(certificate), Some(key)) => {
                Some(ClientCertificate { certificate: certificate.clone(), key: key.clone() })
            }
            (None, None) => None,
            (Some(_), None) => {
                return Err(origins.error("queue-tls-certificate", "needs --queue-tls-private-key"));
            }
            (None, Some(_)) => {
                return Err(origins.error("queue-tls-private-key", "needs --queue-tls-certificate"));
            }
        };
        let tls = QueueTls { ca: self.queue_tls_ca.clone(), client_certificate };
        if let QueueTarget::Sqlite(_) = queue
            && tls != QueueTls::default()
        {
            let given = if tls.ca.is_some() { "queue-tls-ca" } else { "queue-tls-certificate" };
            return Err(origins.error(given, "has no effect, as --queue is an embedded database"));
        }
        Ok(tls)
    }
}

impl RunOptions {
    /// Checks the values against each other and combines them.
    ///
    /// # Errors
    /// As [`BackendOptions::resolve`].
    pub fn resolve(self, origins: &Origins, fallback: Fallback) -> Result<(Settings, LogSettings), ConfigError> {
        let Self { backends, work, http, simulation, process } = self;
        let url = target::fulfiller(work.fulfiller.expose()).map_err(|problem| origins.error("fulfiller", problem))?;
        if work.retry_base > work.retry_cap {
            let [base, cap] = [work.retry_base, work.retry_cap].map(humantime::format_duration);
            return Err(origins.error("retry-base", format!("{base} is above --retry-cap {cap}")));
        }
        let fulfiller = match url {
            Some(url) => {
                let mut target = http.resolve(url, work.call_timeout, work.lease, origins)?;
                if work.ambiguous == WhenAmbiguous::Park {
                    // The order must not be posted again, and only this call knows where to ask about it.
                    target.patience = target.deadline;
                }
                FulfillerTarget::Http(Box::new(target))
            }
            None => FulfillerTarget::Simulated(Simulation {
                shortest: simulation.simulate_latency.shortest,
                longest: simulation.simulate_latency.longest,
                failures: simulation.simulate_failures,
                seed: simulation.simulate_seed,
            }),
        };
        let page = process.page(origins)?;
        let log = LogSettings {
            format: process.log_format,
            filter: process.log,
            filter_origin: origins.of("log"),
            service_name: process.service_name.clone(),
        };
        let settings = Settings {
            backends: Backends { lease: work.lease, events: work.events, ..backends.resolve(origins, fallback)? },
            fulfiller,
            call_timeout: work.call_timeout,
            listen: process.listen.concat(),
            admin_socket: process.admin_socket.unwrap_or_default(),
            access: AccessSettings { web_config: process.web_config, operators: process.operators },
            concurrency: usize::try_from(work.concurrency).unwrap_or(usize::MAX),
            retry: RetryPolicy {
                max_attempts: work.max_attempts,
                base: work.retry_base,
                cap: work.retry_cap,
                when_ambiguous: work.ambiguous,
            },
            reconcile: work.reconcile(),
            keep_events: work.keep_events,
            reconcile_from: work.adoption.reconcile_from,
            drain_timeout: process.drain_timeout,
            drain_to_list: process.drain_to_list,
            migrate: process.migrate,
            wait: process.wait,
            service_name: process.service_name,
            page,
            tracing_propagation: process.tracing_propagation,
            log_orders: process.log_orders,
        };
        Ok((settings, log))
    }
}

impl ProcessOptions {
    fn page(&self, origins: &Origins) -> Result<PageSettings, ConfigError> {
        let link = |option: &str, url: Option<&Secret>| {
            let link = url.map(|url| target::link(url.expose())).transpose();
            link.map_err(|problem| origins.error(option, problem))
        };
        Ok(PageSettings {
            runbook_url: link("runbook-url", self.runbook_url.as_ref())?,
            grafana_url: link("grafana-url", self.grafana_url.as_ref())?,
        })
    }
}

impl WorkOptions {
    fn reconcile(&self) -> Option<ReconcileSettings> {
        (!self.reconcile_interval.is_zero()).then_some(ReconcileSettings {
            interval: self.reconcile_interval,
            grace: self.reconcile_grace,
            max_age: self.adoption.reconcile_max_age,
        })
    }
}
