//! The pipeline: how it is put together, how it starts and how it drains.
//!
//! One order's way: `claim` → `execute` (begin, call) → `completer` (conclude, settle), with `decision` saying what each
//! step makes of it and `lease_keeper` renewing its leases meanwhile. `places` bounds what is in hand: calls from before
//! their claim until they end, and what waits for its commit after that.

mod admission;
mod backends;
mod backpressure;
mod claim;
mod completer;
mod controls;
#[cfg(feature = "internals")]
pub mod decision;
#[cfg(not(feature = "internals"))]
mod decision;
mod delivery;
mod drain_to_list;
mod execute;
mod lease_keeper;
mod options;
mod places;
mod progress;
mod reconciler;
mod retention;
mod scheduling_delay;
mod sweep;
mod token_bucket;
mod watermark;

use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::admission::AdmissionControl;
use self::backends::Backends;
use self::backpressure::Backpressure;
use self::claim::ClaimLoop;
use self::completer::Completer;
use self::controls::Gate;
pub use self::controls::{FleetControls, Process};
use self::delivery::Completed;
use self::drain_to_list::DrainToList;
use self::execute::Executor;
use self::lease_keeper::LeaseKeeper;
use self::options::Shutdown;
pub use self::options::{BATCH, EngineOptions};
use self::places::Places;
use self::progress::Progress;
pub use self::reconciler::Reconciler;
pub use self::retention::TimelineRetention;
pub use self::watermark::Watermark;
use crate::event::{self, LifecycleEvent, Observers};
use crate::observe::trace::attempt::Tracer;
use crate::port::controls::Controls;
use crate::port::fulfiller::Fulfiller;
use crate::port::queue::Queue;
use crate::port::queue_maintenance::HandBack;
use crate::port::store::OrderStore;
use crate::threads::Threads;

/// Takes messages, has their orders fulfilled and settles them until told to stop.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use fulfillment_worker::WorkerId;
/// use fulfillment_worker::domain::retry::{RetryPolicy, WhenAmbiguous};
/// use fulfillment_worker::engine::{Engine, EngineOptions};
/// use fulfillment_worker::event::Observers;
/// use fulfillment_worker::prelude::*;
/// # use fulfillment_worker_testkit::{doubles::ScriptedFulfiller, memory::Memory};
///
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let memory = Memory::new();
/// let lease = Duration::from_secs(30);
/// // Of any backend that implements the ports.
/// let (queue, store) = (Arc::new(memory.queue(lease)), Arc::new(memory.store(WorkerId::fresh(), lease)));
/// # let fulfiller = Arc::new(ScriptedFulfiller::default());
/// let options = EngineOptions {
///     concurrency: 16,
///     lease,
///     call_timeout: Duration::from_secs(10),
///     retry: RetryPolicy {
///         max_attempts: 5,
///         base: Duration::from_secs(1),
///         cap: Duration::from_secs(300),
///         when_ambiguous: WhenAmbiguous::Retry,
///     },
///     drain_timeout: Duration::from_secs(25),
/// };
/// let engine = Engine::new(queue, store, fulfiller, Observers::default(), options)?;
///
/// let drain = CancellationToken::new();
/// # drain.cancel();
/// let left = engine.run(drain).await;
/// assert_eq!(left, 0);
/// # Ok(()) }
/// ```
pub struct Engine {
    backends: Backends,
    /// For renewing leases.
    lease_backends: Backends,
    fulfiller: Arc<dyn Fulfiller>,
    options: EngineOptions,
    progress: Arc<Progress>,
    places: Arc<Places>,
    gate: Arc<Gate>,
    /// Once it runs.
    keeper: Arc<OnceLock<Arc<LeaseKeeper>>>,
    tracer: Tracer,
    watermark: Arc<Watermark>,
    /// Whose list gets what a drain gives back.
    list: Option<Arc<dyn HandBack>>,
    /// Where calls to the fulfiller run.
    calls: Threads,
    lease_thread: Threads,
}

impl Engine {
    /// Puts the parts together; nothing happens before [`Engine::run`].
    ///
    /// # Errors
    /// When the threads for calls and leases can't be started.
    pub fn new(
        queue: Arc<dyn Queue>,
        store: Arc<dyn OrderStore>,
        fulfiller: Arc<dyn Fulfiller>,
        observers: Observers,
        options: EngineOptions,
    ) -> std::io::Result<Self> {
        let most_in_hand = Places::most_in_hand(options.concurrency);
        let backpressure = Arc::new(Backpressure::new(options.concurrency, most_in_hand, options.lease));
        let places = Places::new(options.concurrency, observers.clone());
        let progress = Arc::new(Progress::new(options.lease, observers.clone()));
        let backends = Backends { queue, store, observers, backpressure };
        let (calls, lease_thread) = (Threads::start("fulfiller", None)?, Threads::start("lease-keeper", Some(1))?);
        let (lease_backends, tracer, watermark) = (backends.clone(), Tracer::default(), Arc::default());
        let list = None;
        Ok(Self {
            backends,
            lease_backends,
            fulfiller,
            options,
            progress,
            places,
            gate: Arc::new(Gate::open()),
            keeper: Arc::default(),
            tracer,
            watermark,
            list,
            calls,
            lease_thread,
        })
    }

    /// Renews leases through these backends, which belong to the same worker and the same servers.
    ///
    /// A connection is driven by the runtime that made it. With connections of their own, leases are renewed however busy
    /// the runtime of [`Engine::run`] is, and never wait for another call to give its connection back.
    pub fn keep_leases_through(mut self, queue: Arc<dyn Queue>, store: Arc<dyn OrderStore>) -> Self {
        self.lease_backends = Backends { queue, store, ..self.lease_backends };
        self
    }

    /// Claims only what the controls in `store` allow, and nothing before these were read. What is returned has to run beside
    /// the engine, longer than it.
    pub fn controls(&self, store: Arc<dyn Controls>, process: Process) -> FleetControls {
        self.gate.close();
        FleetControls {
            gate: Arc::clone(&self.gate),
            places: Arc::clone(&self.places),
            progress: Arc::clone(&self.progress),
            keeper: Arc::clone(&self.keeper),
            observers: self.backends.observers.clone(),
            store,
            process,
        }
    }

    /// Records each attempt as a span of `tracer`.
    pub fn trace_with(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Puts what a drain gives back on the producers' list of `queue`, for other consumers.
    pub fn drain_to_list(self, queue: Arc<dyn HandBack>) -> Self {
        Self { list: Some(queue), ..self }
    }

    /// How far this engine has worked off the queue, for the [`Reconciler`] beside it.
    pub fn watermark(&self) -> Arc<Watermark> {
        Arc::clone(&self.watermark)
    }

    /// Works until `drain` is cancelled, then finishes the orders in flight, hands back what takes too long and returns
    /// within the drain timeout. Returns how many orders it could not settle in time; their leases bring them back.
    pub async fn run(self, drain: CancellationToken) -> usize {
        let _delays = [
            (event::Runtime::Engine, &Handle::current()),
            (event::Runtime::Calls, self.calls.handle()),
            (event::Runtime::Leases, self.lease_thread.handle()),
        ]
        .map(|(runtime, handle)| scheduling_delay::watch(runtime, handle, &self.backends.observers));
        let shutdown = Shutdown::default();
        // Room for whatever is in hand: nobody waits to send.
        let (completed, to_complete) = mpsc::channel(Places::most_in_hand(self.options.concurrency));
        let keeper = LeaseKeeper::new(self.lease_backends.clone(), Arc::clone(&self.progress), self.options.lease);
        let _ = self.keeper.set(Arc::clone(&keeper));
        let keeping = self.lease_thread.handle().spawn(Arc::clone(&keeper).run());
        let to_list = self.list.clone().map(|queue| Arc::new(DrainToList::new(queue, shutdown.drain.clone())));
        let completing = tokio::spawn(self.completer(&shutdown, completed.clone(), to_list.clone()).run(to_complete));
        let claiming = tokio::spawn(self.claim_loop(&shutdown, keeper, completed).run());

        drain.cancelled().await;
        let limit = Instant::now() + self.options.drain_timeout;
        let left = self.drain(&shutdown).await;
        if let Some(to_list) = to_list {
            to_list.finish(limit).await;
        }
        completing.abort();
        keeping.abort();
        // The claim loop ends by itself, once it has released the claims whose answers never arrived.
        for (task, name) in [(claiming, "claim"), (completing, "completer"), (keeping, "lease keeper")] {
            end(task, name, limit).await;
        }
        left
    }

    fn completer(
        &self,
        shutdown: &Shutdown,
        again: mpsc::Sender<Completed>,
        drain_to_list: Option<Arc<DrainToList>>,
    ) -> Completer {
        Completer {
            backends: self.backends.clone(),
            progress: Arc::clone(&self.progress),
            policy: self.options.retry,
            abandon: shutdown.abandon.clone(),
            drain_to_list,
            again,
        }
    }

    fn claim_loop(
        &self,
        shutdown: &Shutdown,
        keeper: Arc<LeaseKeeper>,
        completer: mpsc::Sender<Completed>,
    ) -> ClaimLoop {
        let backends = self.backends.clone();
        let (fulfiller, backpressure) = (Arc::clone(&self.fulfiller), Arc::clone(&backends.backpressure));
        let executor = Executor {
            backends: backends.clone(),
            fulfiller: Arc::clone(&fulfiller),
            policy: self.options.retry,
            call_timeout: self.options.call_timeout,
            shutdown: shutdown.clone(),
            calls: self.calls.handle().clone(),
            watermark: Arc::clone(&self.watermark),
            completer,
        };
        ClaimLoop {
            admission: AdmissionControl::new(
                fulfiller,
                backpressure,
                backends.observers.clone(),
                Arc::clone(&self.places),
                Arc::clone(&self.gate),
            ),
            backends,
            executor: Arc::new(executor),
            keeper,
            progress: Arc::clone(&self.progress),
            tracer: self.tracer.clone(),
            drain: shutdown.drain.clone(),
        }
    }

    /// Takes the three steps of [`Shutdown`], each when the one before has used up its share of the time.
    async fn drain(&self, shutdown: &Shutdown) -> usize {
        let (began, limit) = (Instant::now(), self.options.drain_timeout);
        let observers = &self.backends.observers;
        observers.emit(LifecycleEvent::Draining { in_flight: self.progress.in_flight() });
        shutdown.drain.cancel();
        // A fifth of the time is kept for handing back, and a tenth of that for ending the tasks.
        for (token, share) in [(&shutdown.hand_back, 0.8), (&shutdown.abandon, 0.98)] {
            if tokio::time::timeout_at(began + limit.mul_f64(share), self.places.emptied()).await.is_ok() {
                break;
            }
            token.cancel();
        }
        shutdown.abandon.cancel();
        let left = self.progress.in_flight();
        observers.emit(LifecycleEvent::Drained { left });
        left
    }
}

/// Waits until `limit` for the end of a task, then aborts it.
async fn end(mut task: JoinHandle<()>, name: &str, limit: Instant) {
    if let Ok(Err(error)) = tokio::time::timeout_at(limit, &mut task).await
        && error.is_panic()
    {
        tracing::error!(%error, "the {name} loop panicked");
    }
    task.abort();
}
