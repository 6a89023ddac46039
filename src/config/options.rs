//! Every option that can also be set in the environment and the file, each defined once: name, help, default, range.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args, Command};

use super::http::HttpOptions;
use super::origin::{ConfigError, Origins};
use super::secret::Secret;
use super::settings::{
    Backends, FulfillerTarget, LogFormat, LogSettings, Propagation, ReconcileSettings, Settings, Simulation,
};
use super::values::{Latency, Migrate, Patience, Switch};
use super::{redact, redis_url, target, values};
use crate::domain::retry::{RetryPolicy, WhenAmbiguous};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Where queue and store are. Shared by every command that touches them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queue and store")]
pub struct BackendOptions {
    /// Where messages come from: redis://HOST/DB, redis-sentinel://HOST,HOST/DB?sentinelServiceName=NAME,
    /// redis-cluster://HOST,HOST, one of these with rediss for TLS, or sqlite:PATH
    #[arg(long, value_name = "URL", default_value = "sqlite:fulfillment.db")]
    pub queue: Secret,

    /// Name of the Redis list
    #[arg(long, value_name = "KEY", default_value = "fulfillment_queue", value_parser = values::text(512))]
    pub queue_key: String,

    /// Where orders live: postgres://… or sqlite:PATH
    #[arg(long, value_name = "URL", default_value = "sqlite:fulfillment.db")]
    pub store: Secret,

    /// Connections to Postgres at most, one of which renews leases
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(4..=500))]
    pub store_connections: u16,

    /// TOML file with options as keys; FULFILLMENT_CONFIG in the environment
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Everything `run` can be told.
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
    /// What does the work: `simulated`, or the http:// or https:// URL that orders are posted to
    #[arg(long, value_name = "URL", default_value = "simulated")]
    fulfiller: Secret,

    /// How long one call to the fulfiller may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration(MILLISECOND, HOUR))]
    call_timeout: Duration,

    /// Orders in flight at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,

    /// How long a worker that fell silent keeps its orders; long calls renew it
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = values::duration(SECOND, HOUR))]
    lease: Duration,

    /// Attempts in all before an order is dead-lettered
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_attempts: u32,

    /// Longest delay before the second attempt; doubles with each further one
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = values::duration(MILLISECOND, HOUR))]
    retry_base: Duration,

    /// Longest delay before any attempt
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration(MILLISECOND, 24 * HOUR))]
    retry_cap: Duration,

    /// What becomes of an order when nobody knows whether its call was carried out: call again with the same key, or
    /// park it in the dead letters, for a fulfiller that doesn't honour keys
    #[arg(long, default_value = "retry", value_parser = when_ambiguous())]
    ambiguous: WhenAmbiguous,

    /// How often orders are looked for that have no message; 0 for never
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration(Duration::ZERO, HOUR))]
    reconcile_interval: Duration,

    /// How long an order must have been left as it is before its message counts as lost
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = values::duration(SECOND, 24 * HOUR))]
    reconcile_grace: Duration,

    /// Orders that nobody touched for longer are left alone
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = values::duration(HOUR, 87_600 * HOUR))]
    reconcile_max_age: Duration,

    /// Keep each transition of an order in its timeline
    #[arg(long, value_enum, default_value_t = Switch::On)]
    events: Switch,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Simulated fulfiller")]
struct SimulationOptions {
    /// How long a call takes, each value equally likely: LOW..HIGH, or 0 for no time
    #[arg(long, value_name = "LOW..HIGH", default_value = "500ms..2s", value_parser = values::latency)]
    simulate_latency: Latency,

    /// Share of calls that fail, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = values::share)]
    simulate_failures: f64,

    /// Makes latencies and failures repeatable
    #[arg(long, value_name = "N", value_parser = values::seed)]
    simulate_seed: Option<u64>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
struct ProcessOptions {
    /// Where metrics, health and the page are served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:2112", value_parser = values::address)]
    listen: SocketAddr,

    /// From the first signal to exit at most
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = values::duration(Duration::ZERO, HOUR))]
    drain_timeout: Duration,

    /// Make or update the worker's own tables at start, or leave that to `migrate`
    #[arg(long, value_enum, default_value_t = Migrate::Auto)]
    migrate: Migrate,

    /// How long to wait for queue and store at start: a duration, or `forever`
    #[arg(long, value_name = "DURATION", default_value = "forever", value_parser = values::patience)]
    wait: Patience,

    /// How log lines look; text on a terminal and json otherwise if not set
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,

    /// What is logged: a level, or a filter such as `warn,fulfillment_worker=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = values::log_filter)]
    log: String,

    /// Name of this service in logs, metrics and traces
    #[arg(long, value_name = "NAME", default_value = "fulfillment-worker", value_parser = values::text(64))]
    service_name: String,

    /// Whether an attempt is a trace of its own that links to its producer's span, or part of the producer's trace.
    /// Traces are exported where the OTEL_* variables say so
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

/// The names of all options, in the order of `run --help`; `config` is not among them, as it can't stand in the file.
pub fn names() -> Vec<String> {
    let command = RunOptions::augment_args(Command::new("options"));
    command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|name| *name != "config")
        .map(str::to_owned)
        .collect()
}

impl BackendOptions {
    /// Queue and store for commands that only look or put in: what matters to workers alone has its default.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the option.
    pub fn resolve(&self, origins: &Origins) -> Result<Backends, ConfigError> {
        Ok(Backends {
            queue: target::queue(self.queue.expose()).map_err(|problem| origins.error("queue", problem))?,
            queue_key: self.queue_key.clone(),
            store: target::store(self.store.expose()).map_err(|problem| origins.error("store", problem))?,
            store_connections: usize::from(self.store_connections),
            lease: 15 * SECOND,
            events: true,
        })
    }
}

impl RunOptions {
    /// Checks what a single value can't show, and puts it all together.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the option.
    pub fn resolve(self, origins: &Origins) -> Result<(Settings, LogSettings), ConfigError> {
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
                    // It must not be posted again, and nobody else knows where to ask.
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
        let settings = Settings {
            backends: Backends { lease: work.lease, events: work.events == Switch::On, ..backends.resolve(origins)? },
            fulfiller,
            call_timeout: work.call_timeout,
            listen: process.listen,
            concurrency: usize::try_from(work.concurrency).unwrap_or(usize::MAX),
            retry: RetryPolicy {
                max_attempts: work.max_attempts,
                base: work.retry_base,
                cap: work.retry_cap,
                when_ambiguous: work.ambiguous,
            },
            reconcile: work.reconcile(),
            drain_timeout: process.drain_timeout,
            migrate: process.migrate == Migrate::Auto,
            wait: process.wait.limit(),
            service_name: process.service_name,
            tracing_propagation: process.tracing_propagation,
        };
        let filter_origin = origins.of("log");
        Ok((settings, LogSettings { format: process.log_format, filter: process.log, filter_origin }))
    }
}

impl WorkOptions {
    fn reconcile(&self) -> Option<ReconcileSettings> {
        (!self.reconcile_interval.is_zero()).then_some(ReconcileSettings {
            interval: self.reconcile_interval,
            grace: self.reconcile_grace,
            max_age: self.reconcile_max_age,
        })
    }
}

/// The value of an option as it was given, passwords taken out; `None` if nobody set it and there is no default.
pub fn shown_value(option: &str, matches: &ArgMatches) -> Option<String> {
    if ["fulfiller-token", "fulfiller-secret"].contains(&option) {
        return matches.contains_id(&option.replace('-', "_")).then(|| "***".to_owned());
    }
    let raw = matches.get_raw(&option.replace('-', "_"))?.next()?.to_string_lossy().into_owned();
    let is_opaque = ["queue", "store", "fulfiller"].contains(&option);
    match redis_url::parse(&raw) {
        Ok(url) if is_opaque && url.expose().has_host() => Some(url.to_string()),
        _ if is_opaque => Some(redact::user_info(&raw)),
        _ => Some(raw),
    }
}
