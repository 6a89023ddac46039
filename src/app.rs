//! Puts the parts together: backends from their targets, the engine between them, and the server beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::WorkerId;
use crate::config::{Backends, FulfillerTarget, QueueTarget, Settings, StoreTarget};
use crate::engine::{Engine, EngineOptions};
use crate::event::{Dependency, Event, Observer, Observers};
use crate::fulfiller::Fulfiller;
use crate::fulfiller::simulated::SimulatedFulfiller;
use crate::health::Health;
use crate::http;
use crate::logging::EventLog;
use crate::metrics::Metrics;
use crate::queue::redis::{RedisQueue, RedisQueueOptions};
use crate::queue::sqlite::{SqliteQueue, SqliteQueueOptions};
use crate::queue::{Queue, QueueError};
use crate::retry;
use crate::sqlite::{Database, OpenError};
use crate::store::postgres::{PostgresStore, PostgresStoreOptions};
use crate::store::sqlite::{SqliteStore, SqliteStoreOptions};
use crate::store::{OrderStore, StoreError};

/// How often queue and store are asked how they are while nothing else asks.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// The queue and the store, ready to be used; whether they answer is another matter ([`wait_ready`]).
#[derive(Clone)]
pub struct Opened {
    /// Where messages come from.
    pub queue: Arc<dyn Queue>,
    /// Where orders live.
    pub store: Arc<dyn OrderStore>,
}

/// Why a command could not start its work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The embedded database can't be opened.
    #[error(transparent)]
    Embedded(#[from] OpenError),
    /// The queue can't be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address to listen on can't be had.
    #[error(transparent)]
    Listen(#[from] http::BindError),
    /// A server did not answer in time.
    #[error("gave up after waiting {0:?} (--wait): {1}")]
    Unreachable(Duration, String),
}

/// Makes the backends. Servers are not contacted yet.
///
/// # Errors
/// When an embedded database can't be opened or a URL can't be used.
pub fn open(backends: &Backends, worker: &WorkerId) -> Result<Opened, StartError> {
    let mut embedded = Embedded::default();
    let queue = open_queue(backends, worker, &mut embedded)?;
    let store = open_store_beside(backends, worker, &mut embedded)?;
    Ok(Opened { queue, store })
}

/// Makes the store alone, for commands that need no queue.
///
/// # Errors
/// As [`open`].
pub fn open_store(backends: &Backends, worker: &WorkerId) -> Result<Arc<dyn OrderStore>, StartError> {
    open_store_beside(backends, worker, &mut Embedded::default())
}

fn open_queue(backends: &Backends, worker: &WorkerId, embedded: &mut Embedded) -> Result<Arc<dyn Queue>, StartError> {
    let (worker, lease) = (worker.clone(), backends.lease);
    Ok(match &backends.queue {
        QueueTarget::Redis(url) => {
            let key = backends.queue_key.clone();
            Arc::new(RedisQueue::connect(url, RedisQueueOptions { key, lease, worker })?)
        }
        QueueTarget::Sqlite(path) => {
            Arc::new(SqliteQueue::new(embedded.open(path)?, SqliteQueueOptions { lease, worker }))
        }
    })
}

fn open_store_beside(
    backends: &Backends,
    worker: &WorkerId,
    embedded: &mut Embedded,
) -> Result<Arc<dyn OrderStore>, StartError> {
    let (worker, lease, events) = (worker.clone(), backends.lease, backends.events);
    Ok(match &backends.store {
        StoreTarget::Postgres(url) => {
            let connections = backends.store_connections;
            Arc::new(PostgresStore::connect(url, PostgresStoreOptions { worker, lease, events, connections })?)
        }
        StoreTarget::Sqlite(path) => {
            Arc::new(SqliteStore::new(embedded.open(path)?, SqliteStoreOptions { worker, lease, events }))
        }
    })
}

/// The embedded database, opened once where queue and store share its file.
#[derive(Default)]
struct Embedded(Option<Database>);

impl Embedded {
    fn open(&mut self, path: &Path) -> Result<Database, OpenError> {
        match &self.0 {
            Some(database) if database.path() == path => Ok(database.clone()),
            _ => Ok(self.0.insert(Database::open(path)?).clone()),
        }
    }
}

/// Waits until queue and store answer, for `wait` at most (`None`: for ever), and makes or checks the worker's own
/// tables. `progress` is told each time that something keeps it waiting.
///
/// # Errors
/// What a server refuses for good, or [`StartError::Unreachable`].
pub async fn wait_ready(
    opened: &Opened,
    migrate: bool,
    wait: Option<Duration>,
    mut progress: impl FnMut(&str),
) -> Result<(), StartError> {
    let began = Instant::now();
    let mut failures = 0;
    loop {
        let problem = match attempt_start(opened, migrate).await {
            Ok(()) => return Ok(()),
            Err(StartError::Queue(error)) if error.is_transient() => error.to_string(),
            Err(StartError::Store(error)) if error.is_transient() => error.to_string(),
            Err(error) => return Err(error),
        };
        failures += 1;
        let Some(pause) = retry::dependency_pause(failures, began.elapsed(), wait) else {
            return Err(StartError::Unreachable(wait.unwrap_or_default(), problem));
        };
        progress(&problem);
        tokio::time::sleep(pause).await;
    }
}

async fn attempt_start(opened: &Opened, migrate: bool) -> Result<(), StartError> {
    opened.queue.depth().await?;
    if migrate {
        for applied in opened.store.migrate().await? {
            tracing::info!(migration = applied, "applied a migration");
        }
    }
    Ok(opened.store.check().await?)
}

/// The service: serves metrics and health, then works until `drain` is cancelled, and drains. `extra` observers are
/// told every event too.
///
/// # Errors
/// When it can't start. Once it works, it works until told to stop.
pub async fn run(
    settings: Settings,
    extra: Vec<Arc<dyn Observer>>,
    drain: CancellationToken,
) -> Result<(), StartError> {
    let worker = WorkerId::fresh();
    let metrics = Arc::new(Metrics::new(tokio::runtime::Handle::current(), &settings.service_name));
    let health = Arc::new(Health::default());
    let mut observers: Vec<Arc<dyn Observer>> =
        vec![metrics.clone(), health.clone(), Arc::new(EventLog::new(&settings.service_name))];
    observers.extend(extra);
    let observers = Observers::new(observers);

    // Before anything is consumed: a port that is taken must not cost a message its lease.
    let listener = http::bind(settings.listen).await?;
    let stop_serving = CancellationToken::new();
    let serving = tokio::spawn(http::serve(listener, http::Routes { metrics, health }, stop_serving.clone()));

    let result = work(&settings, &worker, &observers, drain).await;
    stop_serving.cancel();
    let on_the_way_out = settings.drain_timeout - drain_of_orders(&settings);
    if let Ok(Err(error)) = tokio::time::timeout(on_the_way_out, serving).await {
        tracing::error!(%error, "the metrics server ended badly");
    }
    result
}

/// The orders' share of the drain timeout. The rest is for scrapes under way and the way out.
fn drain_of_orders(settings: &Settings) -> Duration {
    settings.drain_timeout.mul_f64(0.95)
}

async fn work(
    settings: &Settings,
    worker: &WorkerId,
    observers: &Observers,
    drain: CancellationToken,
) -> Result<(), StartError> {
    let opened = open(&settings.backends, worker)?;
    let ready = wait_ready(&opened, settings.migrate, settings.wait, |problem| {
        tracing::warn!("waiting for servers: {problem}");
    });
    match drain.run_until_cancelled(ready).await {
        Some(ready) => ready?,
        None => return Ok(()),
    }

    observers.emit(Event::Started { worker: worker.as_str(), concurrency: settings.concurrency });
    let polling = tokio::spawn(poll(opened.clone(), observers.clone()));
    let options = EngineOptions {
        concurrency: settings.concurrency,
        lease: settings.backends.lease,
        call_timeout: settings.call_timeout,
        retry: settings.retry,
        drain_timeout: drain_of_orders(settings),
    };
    let fulfiller: Arc<dyn Fulfiller> = match &settings.fulfiller {
        FulfillerTarget::Simulated(simulation) => Arc::new(SimulatedFulfiller::new(simulation.clone())),
    };
    Engine::new(opened.queue, opened.store, fulfiller, observers.clone(), options).run(drain).await;
    polling.abort();
    Ok(())
}

/// Asks queue and store how they are, so that readiness and depth are right while no order comes by. Until aborted.
async fn poll(opened: Opened, observers: Observers) {
    let down = |dependency, error: &dyn std::error::Error| {
        observers.emit(Event::DependencyDown { dependency, error: &error.to_string(), retry_in: POLL_EVERY });
    };
    loop {
        match opened.queue.depth().await {
            Ok(depth) => {
                observers.emit(Event::DependencyUp(Dependency::Queue));
                observers.emit(Event::DepthRead(depth));
            }
            Err(error) => down(Dependency::Queue, &error),
        }
        match opened.store.check().await {
            Ok(()) => observers.emit(Event::DependencyUp(Dependency::Store)),
            Err(error) => down(Dependency::Store, &error),
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}
