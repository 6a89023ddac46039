//! The service: the engine between its backends, the fulfiller, and the server beside it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::backends::Opened;
pub use self::backends::StartError;
use self::notify::{Manager, Subject};
use crate::admin::{self, Access, OneTimeToken};
use crate::api::{Api, Roles};
use crate::backend::simulated::SimulatedFulfiller;
use crate::config::environment::Environment;
use crate::config::{Backends, ConfigurationLine, FulfillerTarget, Settings};
use crate::domain::worker_id::WorkerId;
use crate::engine::{Engine, EngineOptions, Reconciler, TimelineRetention, Watermark};
use crate::event::{Dependency, DependencyEvent, LifecycleEvent, Observer, Observers};
use crate::observe::health::Health;
use crate::observe::latest::Latest;
use crate::observe::logging::{EventLog, Log};
use crate::observe::metrics::Metrics;
use crate::observe::trace;
use crate::observe::trace::attempt::Tracer;
use crate::observe::trends::TrendCounter;
use crate::page::{self, Page, Stores};
use crate::port::fulfiller::Fulfiller;
use crate::testing::mutant::is_mutant;
use crate::threads;

#[cfg(feature = "internals")]
pub mod backends;
#[cfg(not(feature = "internals"))]
pub(crate) mod backends;
#[cfg(feature = "cli")]
mod check;
mod horizon;
mod jobs;
mod notify;
mod polls;
mod registry;
#[cfg_attr(not(feature = "http-fulfiller"), expect(dead_code, reason = "the fulfiller over HTTP alone has files"))]
mod reload;
mod signals;
mod trends;
#[cfg_attr(not(feature = "http-fulfiller"), path = "service/without_warehouse.rs")]
mod warehouse;

#[cfg(feature = "cli")]
pub(crate) use check::check;
pub use reload::Reload;
pub use signals::drain_on_signals;
pub(crate) use signals::{HangUp, Signals};

/// When the steps of a drain have to be over, as shares of the drain timeout since the signal: the orders; giving up the
/// reconciler's lead; scrapes under way and the last traces. The rest is for the way out.
const ORDERS: f64 = 0.9;
const LEAD: f64 = 0.92;
const SCRAPES_AND_TRACES: f64 = 0.96;
/// The most that a step after the orders takes, where they took less than their share.
const LONGEST_STEP: f64 = 0.05;

/// Threads of a worker besides one per processor for calls: two each for leases, metrics, traces and embedded queue and store,
/// and some for blocking calls, such as name look-ups.
const THREADS_BESIDES: usize = 12;

/// A worker with all that belongs to it, about to run.
///
/// Programs that embed the worker set a [`Fulfiller`] of their own; see `examples/custom_fulfiller.rs`.
pub struct Service {
    settings: Settings,
    fulfiller: Option<Arc<dyn Fulfiller>>,
    observers: Vec<Arc<dyn Observer>>,
    log: Option<Log>,
    reload: Reload,
    token: Option<OneTimeToken>,
    configuration: Vec<ConfigurationLine>,
    tells_systemd: bool,
}

impl Service {
    /// As `settings` say.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            fulfiller: None,
            observers: Vec::new(),
            log: None,
            reload: Reload::default(),
            token: None,
            configuration: Vec::new(),
            tells_systemd: false,
        }
    }

    /// Has `fulfiller` do the work, whatever the settings name.
    pub fn fulfiller(self, fulfiller: impl Fulfiller + 'static) -> Self {
        Self { fulfiller: Some(Arc::new(fulfiller)), ..self }
    }

    /// Tells `observer` every event too.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Counts the lines of `log` and serves its filter at `/log`. Without it, these lines are not counted, and the filter
    /// can't be changed.
    pub fn log(self, log: Log) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Has the files of secrets and certificates for the warehouse read again whenever `reload` asks, besides when they
    /// change.
    pub fn reload(self, reload: Reload) -> Self {
        Self { reload, ..self }
    }

    /// Gives whoever opens the page with this token, once, a session that may change the worker's state. For a worker that
    /// listens on loopback alone.
    pub fn one_time_token(self, token: OneTimeToken) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Shows these lines on the page as the configuration, to those who may see more than numbers; none of them may have a
    /// secret. Without them, the page says that the program around the worker configured it.
    pub fn configuration(self, configuration: Vec<ConfigurationLine>) -> Self {
        Self { configuration, ..self }
    }

    /// Tells systemd, if a unit of `Type=notify` started this process, when the worker is up, what it does, that it makes
    /// progress, and that it drains. For a program that is a worker and nothing else: the program around any other one knows
    /// better when it is ready.
    pub fn tell_systemd(self) -> Self {
        Self { tells_systemd: true, ..self }
    }

    /// Works until SIGTERM or SIGINT, and drains. A second signal ends the process at once; no order is lost in either.
    /// SIGHUP has secrets and certificates read again.
    ///
    /// # Errors
    /// When it can't start. Once it works, it works until told to stop.
    pub async fn run_until_signal(self) -> Result<(), StartError> {
        let drain = Signals { hang_up: HangUp::Reload(self.reload.clone()), ..Signals::default() }.listen()?;
        self.run(drain).await
    }

    /// Serves metrics and health, then works until `drain` is cancelled, and drains.
    ///
    /// # Errors
    /// When it can't start. Once it works, it works until told to stop.
    pub async fn run(self, drain: CancellationToken) -> Result<(), StartError> {
        let Self { settings, fulfiller, observers, log, reload, token, configuration, tells_systemd } = self;
        // A worker that gets some of its threads would start and stand still.
        threads::require(threads::processors() + THREADS_BESIDES)?;
        // Before anything opens a TLS connection. An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let messages = log.as_ref().map(|log| log.messages().clone()).unwrap_or_default();
        let metrics = Arc::new(Metrics::new(tokio::runtime::Handle::current(), &settings.service_name, messages));
        let health = Arc::new(Health::default().expecting(settings.backends.lease, settings.call_timeout));
        let event_log = Arc::new(EventLog::new(&settings.service_name, settings.log_orders));
        let latest = Arc::new(Latest::default());
        let trends = Arc::new(TrendCounter::default());
        let environment = Environment::of_process();
        let manager = if tells_systemd { Manager::of(&environment) } else { Manager::none() };
        let own: [Arc<dyn Observer>; 6] =
            [metrics.clone(), health.clone(), latest.clone(), event_log, trends.clone(), manager.observer()];
        let observers = Observers::new(own.into_iter().chain(observers).collect());
        let worker = WorkerId::fresh();
        let (tracer, export) = trace::export::start(&settings, &environment, worker.as_str(), &observers)?;
        let (fulfiller, fulfilled_by) = match fulfiller {
            Some(fulfiller) => (fulfiller, "the program around the worker".to_owned()),
            None => (open_fulfiller(&settings.fulfiller, &observers, Some(&reload))?, settings.fulfiller.to_string()),
        };
        #[cfg(feature = "faults")]
        let fulfiller = crate::testing::failpoint::before_fulfiller(fulfiller)?;

        let access = Access::open(&settings.access, token, metrics.login().clone())?;
        // Before anything is consumed: a port that is taken must not cost a message its lease.
        let mut listeners = admin::open(&settings.listen).await?;
        let listen = listeners.iter().map(|listener| listener.url(&access)).collect::<Result<Vec<_>, _>>()?;
        listeners.extend(admin::open_admin(&settings.admin_socket, &listeners, &environment)?);
        let api = Api::default();
        let router = api.clone().router(observers.clone());
        let page = Page::new(page::Parts {
            api: axum::Router::new().nest_service("/api/v1", router.clone()),
            health: Arc::clone(&health),
            latest,
            worker: worker.as_str().to_owned(),
            service_name: settings.service_name.clone(),
            runbook: settings.page.runbook_url.clone(),
            grafana: settings.page.grafana_url.clone(),
            configuration,
        });
        let subject = Subject {
            health: Arc::clone(&health),
            reload,
            drain: drain.clone(),
            drain_timeout: settings.drain_timeout,
        };
        let routes = admin::Routes { metrics, health, log, access, api: router, page: page.clone().router() };
        let server = admin::Server::start(listeners, routes)?;
        let Backends { queue, store, .. } = &settings.backends;
        observers.emit(LifecycleEvent::Starting {
            queue: &queue.to_string(),
            store: &store.to_string(),
            fulfiller: &fulfilled_by,
            listen: &listen,
        });
        let telling = manager.start(subject);
        let end = DrainEnd::of(&drain, settings.drain_timeout);
        let result = run_engine(
            &settings,
            Parts { worker, fulfiller, tracer, api, page: page.clone(), trends },
            &observers,
            drain,
            &end,
        )
        .await;
        page.stop();
        let left = end.left(SCRAPES_AND_TRACES);
        let flushing = async {
            if let Some(export) = export {
                export.flush(left).await;
            }
        };
        tokio::join!(server.stop(left), flushing);
        if let Some(telling) = telling {
            telling.abort();
        }
        result
    }
}

/// Tells how much time of a drain is left, from the signal on.
struct DrainEnd {
    began: Arc<OnceLock<Instant>>,
    timeout: Duration,
}

impl DrainEnd {
    fn of(drain: &CancellationToken, timeout: Duration) -> Self {
        let (drain, began) = (drain.clone(), Arc::new(OnceLock::new()));
        let beginning = Arc::clone(&began);
        tokio::spawn(async move {
            drain.cancelled().await;
            let _ = beginning.set(Instant::now());
        });
        Self { began, timeout }
    }

    /// For a step that has to be over when this share of the timeout is used up. One that ends without a signal drains from
    /// now on.
    fn left(&self, share: f64) -> Duration {
        let began = *self.began.get_or_init(Instant::now);
        self.timeout.mul_f64(share).saturating_sub(began.elapsed()).min(self.timeout.mul_f64(LONGEST_STEP))
    }
}

fn open_fulfiller(
    target: &FulfillerTarget,
    observers: &Observers,
    reload: Option<&Reload>,
) -> Result<Arc<dyn Fulfiller>, StartError> {
    Ok(match target {
        FulfillerTarget::Simulated(simulation) => Arc::new(SimulatedFulfiller::new(simulation.clone())),
        FulfillerTarget::Http(target) => warehouse::open(target, observers, reload)?,
    })
}

/// What the engine runs with.
struct Parts {
    worker: WorkerId,
    fulfiller: Arc<dyn Fulfiller>,
    tracer: Tracer,
    /// Opened with the backends.
    api: Api,
    page: Page,
    /// What the history is written from.
    trends: Arc<TrendCounter>,
}

/// Opens the backends, waits until they answer, and runs the engine with everything beside it until it has drained.
async fn run_engine(
    settings: &Settings,
    parts: Parts,
    observers: &Observers,
    drain: CancellationToken,
    end: &DrainEnd,
) -> Result<(), StartError> {
    let Parts { worker, fulfiller, tracer, api, page, trends } = parts;
    let (opened, leases) = backends::open_with_leases(&settings.backends, &worker, observers)?;
    // Until a call shows otherwise.
    observers.emit(DependencyEvent::Up(Dependency::Fulfiller));
    let ready = backends::wait_ready(&opened, settings.migrate, settings.wait, |event| observers.emit(event));
    match drain.run_until_cancelled(ready).await {
        Some(ready) => ready?,
        None => return Ok(()),
    }
    let settled = horizon::settle(&opened, settings.reconcile_from, settings.wait, observers);
    match drain.run_until_cancelled(settled).await {
        Some(settled) => settled?,
        None => return Ok(()),
    }
    if drain.run_until_cancelled(warn_about_configuration(&opened)).await.is_none() {
        return Ok(());
    }
    api.open(roles(&opened, settings), settings.backends.store_connections, drain.clone());
    page.open(Stores { trends: Arc::clone(&opened.store.trends), controls: Arc::clone(&opened.store.controls) });
    observers.emit(LifecycleEvent::Started { worker: worker.as_str(), concurrency: settings.concurrency });

    let (queue, store) = (Arc::clone(&opened.queue.messages), Arc::clone(&opened.store.orders));
    let mut engine = Engine::new(queue, store, fulfiller, observers.clone(), engine_options(settings))?
        .keep_leases_through(leases.queue.messages, leases.store.orders)
        .trace_with(tracer);
    if settings.drain_to_list {
        engine = engine.drain_to_list(Arc::clone(&opened.queue.hand_back));
    }
    let controls = engine.controls(Arc::clone(&opened.store.controls), registry::process(settings));
    let engine_ended = CancellationToken::new();
    let controlling = tokio::spawn(controls.run(engine_ended.clone()));
    let polling = tokio::spawn(polls::poll(opened.clone(), leases.store.reports, observers.clone()));
    let recording = trends::start(opened.store.trends.clone(), trends, observers.clone(), engine_ended.clone());
    let retaining = start_retention(settings, &opened, observers, &drain);
    let on_jobs = jobs::start(settings, &opened, observers, &drain);
    let reconciling = start_reconciler(settings, opened, observers, engine.watermark(), &drain);
    engine.run(drain).await;
    polling.abort();
    engine_ended.cancel();
    for mut leading in [reconciling, retaining, Some(controlling), Some(on_jobs), Some(recording)].into_iter().flatten()
    {
        if tokio::time::timeout(end.left(LEAD), &mut leading).await.is_err() {
            leading.abort();
        }
    }
    Ok(())
}

fn roles(opened: &Opened, settings: &Settings) -> Roles {
    let Opened { queue, store } = opened.clone();
    Roles {
        queue: queue.reports,
        producer: queue.producer,
        search: store.search,
        reports: store.reports,
        dead_letters: store.dead_letters,
        decisions: store.decisions,
        notes: store.notes,
        controls: store.controls,
        activity: store.activity,
        intake: store.intake,
        feed: store.feed,
        place: backends::place(&settings.backends),
        jobs: store.jobs,
        lease: settings.backends.lease,
    }
}

async fn warn_about_configuration(opened: &Opened) {
    match opened.store.schema.warning().await {
        Ok(None) => {}
        Ok(Some(warning)) => tracing::warn!("{warning}"),
        Err(error) => tracing::warn!(%error, "whether the store hides orders could not be found out"),
    }
    match opened.queue.reports.configuration_warning().await {
        Ok(None) => {}
        Ok(Some(warning)) => tracing::warn!("{warning}"),
        Err(error) => tracing::warn!(%error, "whether the queue's server keeps its messages could not be found out"),
    }
}

fn engine_options(settings: &Settings) -> EngineOptions {
    EngineOptions {
        concurrency: settings.concurrency,
        lease: settings.backends.lease,
        call_timeout: settings.call_timeout,
        retry: settings.retry,
        drain_timeout: settings.drain_timeout.mul_f64(ORDERS),
    }
}

fn start_retention(
    settings: &Settings,
    opened: &Opened,
    observers: &Observers,
    drain: &CancellationToken,
) -> Option<JoinHandle<()>> {
    let retention = TimelineRetention::new(opened.store.retention.clone(), observers.clone(), settings.keep_events?);
    Some(tokio::spawn(retention.run(drain.clone())))
}

fn start_reconciler(
    settings: &Settings,
    opened: Opened,
    observers: &Observers,
    watermark: Arc<Watermark>,
    drain: &CancellationToken,
) -> Option<JoinHandle<()>> {
    let settings = settings.reconcile.filter(|_| !is_mutant!(NoReconciler))?;
    let Opened { queue, store } = opened;
    let (observers, reconciliation) = (observers.clone(), store.reconciliation);
    let reconciler = Reconciler::new(queue.maintenance, queue.reports, reconciliation, observers, watermark, settings);
    Some(tokio::spawn(reconciler.run(drain.clone())))
}
