//! The pipeline as a whole: what its stages share, how it starts and how it drains.
//!
//! `admission` (permit) → `worker` (claim → begin → fulfil) → `completer` (conclude → settle), with `lease` keeping alive
//! whatever takes long. An order holds a permit from before its claim until after its settlement; while queue or store
//! are slow, `pressure` lets fewer orders wait for them.

mod admission;
pub(crate) mod backpressure;
pub mod completer;
mod in_hand;
pub mod lease_keeper;
pub mod reconciler;
mod scheduling_delay;
pub mod worker;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::order::OrderId;
use crate::domain::retry::{self, RetryPolicy};
use crate::engine::backpressure::Pressure;
use crate::engine::completer::Completer;
use crate::engine::lease_keeper::LeaseKeeper;
use crate::engine::reconciler::Watermark;
use crate::engine::worker::Worker;
use crate::event::{self, DependencyEvent, LifecycleEvent, Loop, Observers, OrderEvent, RowStage, Stage};
use crate::observe::trace::attempt::Tracer;
use crate::port::fulfiller::Fulfiller;
use crate::port::queue::{Queue, QueueError};
use crate::port::store::{OrderStore, StoreError};

/// Orders in one call to a backend at most. Larger batches save little and hold row locks longer.
pub const BATCH: usize = 500;

/// Batches of one kind under way at once: one gathers while another commits.
pub(crate) const BATCHES_AT_ONCE: usize = 2;

/// No call to a backend takes longer; the backends' own limits are shorter and tell more. The renewal of rows is given up
/// after a quarter of a lease: it begins before half of the lease is over, so that one which hangs on a connection that leads
/// nowhere leaves time for another one, on a new connection.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// How often a loop that has nothing to do shows that it is alive; once a lease, where that is shorter.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// Leases are renewed by a thread that nothing else can hold up. So that it doesn't hold the orders of a worker that is
/// wedged for good, it lets go after so many leases in which nothing was concluded, nor could have been.
const LEASES_WITHOUT_PROGRESS: u32 = 4;

/// How the engine works.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Orders in flight at once, at least 1.
    pub concurrency: usize,
    /// How long a silent worker keeps its messages and rows; the same as the backends were made with.
    pub lease: Duration,
    /// How long one call to the fulfiller may take.
    pub call_timeout: Duration,
    /// How failed attempts are retried.
    pub retry: RetryPolicy,
    /// From [`Engine::run`]'s drain signal to its return, at most.
    pub drain_timeout: Duration,
}

/// The three steps of shutting down, each cancelled after the one before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Claim nothing more.
    pub(crate) drain: CancellationToken,
    /// Stop calls to the fulfiller and hand their orders back.
    pub(crate) hand_back: CancellationToken,
    /// Stop waiting for backends: leases bring back what is left.
    pub(crate) abandon: CancellationToken,
}

/// What every stage shares.
pub(crate) struct Context {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) fulfiller: Arc<dyn Fulfiller>,
    pub(crate) observers: Observers,
    pub(crate) options: EngineOptions,
    pub(crate) shutdown: Shutdown,
    /// Where calls to the fulfiller run: one that blocks its thread must not hold up claims, commits and, above all, the
    /// renewal of leases.
    pub(crate) calls: Handle,
    /// What the reconciler goes by.
    pub(crate) watermark: Arc<Watermark>,
    /// How much more queue and store can do with.
    pub(crate) pressure: Arc<Pressure>,
    /// Makes the spans of attempts.
    pub(crate) tracer: Tracer,
    in_flight: Mutex<usize>,
    epoch: Instant,
    /// When the completer last went round, in milliseconds since the epoch.
    completer_beat_ms: AtomicU64,
}

/// Takes messages, has their orders fulfilled and settles them until told to stop.
pub struct Engine {
    context: Context,
    calls: Runtime,
    keeping: Runtime,
    /// What leases are renewed through.
    leases: (Arc<dyn Queue>, Arc<dyn OrderStore>),
}

impl Engine {
    /// Puts the parts together; nothing happens before [`Engine::run`].
    ///
    /// # Errors
    /// When the threads for the calls and for the leases can't be started.
    pub fn new(
        queue: Arc<dyn Queue>,
        store: Arc<dyn OrderStore>,
        fulfiller: Arc<dyn Fulfiller>,
        observers: Observers,
        options: EngineOptions,
    ) -> std::io::Result<Self> {
        let calls = runtime::Builder::new_multi_thread().thread_name("fulfiller").enable_all().build()?;
        let keeping =
            runtime::Builder::new_multi_thread().worker_threads(1).thread_name("lease-keeper").enable_all().build()?;
        let leases = (Arc::clone(&queue), Arc::clone(&store));
        let context = Context {
            queue,
            store,
            fulfiller,
            observers,
            options,
            shutdown: Shutdown::default(),
            calls: calls.handle().clone(),
            watermark: Arc::default(),
            pressure: Arc::new(Pressure::new(options.concurrency, options.lease)),
            tracer: Tracer::default(),
            in_flight: Mutex::new(0),
            epoch: Instant::now(),
            completer_beat_ms: AtomicU64::new(0),
        };
        Ok(Self { context, calls, keeping, leases })
    }

    /// Has leases renewed through these, which are of the same worker and the same servers.
    ///
    /// A connection is driven by the runtime that made it. With connections of their own, leases are renewed whatever
    /// holds up the runtime that [`Engine::run`] is called on, and need not wait for others to give a connection back.
    pub fn keep_leases_through(self, queue: Arc<dyn Queue>, store: Arc<dyn OrderStore>) -> Self {
        Self { leases: (queue, store), ..self }
    }

    /// Has `tracer` make a span of each attempt.
    pub fn trace_with(mut self, tracer: Tracer) -> Self {
        self.context.tracer = tracer;
        self
    }

    /// How far this engine has worked off the queue, for the [`crate::engine::reconciler::Reconciler`] beside it.
    pub fn watermark(&self) -> Arc<Watermark> {
        Arc::clone(&self.context.watermark)
    }

    /// Works until `drain` is cancelled, then finishes what is in hand, hands back what takes too long and returns
    /// within the drain timeout. Returns how many orders could not be settled in time; their leases bring them back.
    pub async fn run(self, drain: CancellationToken) -> usize {
        let Self { context, calls, keeping: keeper_thread, leases } = self;
        let context = Arc::new(context);
        let _canaries = [
            scheduling_delay::watch(event::Runtime::Engine, &Handle::current(), &context.observers),
            scheduling_delay::watch(event::Runtime::Calls, calls.handle(), &context.observers),
            scheduling_delay::watch(event::Runtime::Leases, keeper_thread.handle(), &context.observers),
        ];
        let permits = Arc::new(Semaphore::new(context.options.concurrency));
        let (finished, to_complete) = mpsc::channel(context.options.concurrency);
        let keeper = LeaseKeeper::new(Arc::clone(&context), leases);
        let keeping = keeper_thread.spawn(Arc::clone(&keeper).run());
        let completing = tokio::spawn(Completer::new(Arc::clone(&context), finished.clone()).run(to_complete));
        let worker = Worker::new(Arc::clone(&context), Arc::clone(&permits), Arc::clone(&keeper), finished);
        let working = tokio::spawn(worker.run());

        drain.cancelled().await;
        let limit = Instant::now() + context.options.drain_timeout;
        let left = context.drain(&permits).await;
        completing.abort();
        keeping.abort();
        // The worker ends by itself, once it has released what it was never told of.
        for (mut task, name) in [(working, "worker"), (completing, "completer"), (keeping, "lease keeper")] {
            if let Ok(Err(error)) = tokio::time::timeout_at(limit, &mut task).await
                && error.is_panic()
            {
                tracing::error!(%error, "the {name} loop panicked");
            }
            task.abort();
        }
        // Without waiting for calls that block their threads.
        calls.shutdown_background();
        keeper_thread.shutdown_background();
        left
    }
}

impl Context {
    /// The three steps of [`Shutdown`], each as soon as the one before has had its share of the time.
    async fn drain(&self, permits: &Arc<Semaphore>) -> usize {
        let began = Instant::now();
        let limit = self.options.drain_timeout;
        self.observers.emit(LifecycleEvent::Draining { in_flight: self.in_flight() });
        self.shutdown.drain.cancel();
        let all = u32::try_from(self.options.concurrency).unwrap_or(u32::MAX);
        // A fifth of the time is kept for handing back, and a tenth of that for ending the tasks.
        for (token, share) in [(&self.shutdown.hand_back, 0.8), (&self.shutdown.abandon, 0.98)] {
            if tokio::time::timeout_at(began + limit.mul_f64(share), permits.acquire_many(all)).await.is_ok() {
                break;
            }
            token.cancel();
        }
        self.shutdown.abandon.cancel();
        let left = self.in_flight();
        self.observers.emit(LifecycleEvent::Drained { left });
        left
    }

    pub(crate) fn in_flight(&self) -> usize {
        *self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts orders in and out of flight, and tells the observers in the order of the changes.
    pub(crate) fn count_in_flight(&self, claimed: usize, settled: usize) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        *in_flight = (*in_flight + claimed).saturating_sub(settled);
        self.observers.emit(OrderEvent::InFlight(*in_flight));
    }

    /// Tells which rows were passed over, if any.
    pub(crate) fn tell_locked(&self, stage: RowStage, order_ids: &[OrderId]) {
        if !order_ids.is_empty() {
            self.observers.emit(DependencyEvent::RowsLocked { stage, order_ids });
        }
    }

    /// Waits for `future` while showing that loop `name` is alive.
    pub(crate) async fn beating<F: Future>(&self, name: Loop, future: F) -> F::Output {
        tokio::pin!(future);
        loop {
            self.observers.emit(LifecycleEvent::Heartbeat(name));
            if name == Loop::Completer {
                self.completer_beat_ms.store(self.now_ms(), Ordering::Relaxed);
            }
            if let Ok(output) = tokio::time::timeout(BEAT_EVERY.min(self.options.lease), &mut future).await {
                return output;
            }
        }
    }

    /// Milliseconds since the epoch.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether nothing could be concluded for so long that others had better take the orders over.
    pub(crate) fn is_wedged(&self) -> bool {
        let limit = u64::try_from((self.options.lease * LEASES_WITHOUT_PROGRESS).as_millis()).unwrap_or(u64::MAX);
        self.now_ms().saturating_sub(self.completer_beat_ms.load(Ordering::Relaxed)) > limit
    }

    /// Makes one call to a backend and tells the observers how it went. `count` says how many items it was about.
    pub(crate) async fn call<T, E: BackendError>(
        &self,
        stage: Stage,
        count: impl FnOnce(&T) -> usize,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let (pressure, under_way) = (self.pressure.call(stage), self.observers.under_way(stage.dependency()));
        let limit = if stage == Stage::RenewStore { CALL_LIMIT.min(self.options.lease / 4) } else { CALL_LIMIT };
        let result = match tokio::time::timeout(limit, call).await {
            Ok(result) => result,
            Err(_) => Err(E::no_answer(limit)),
        };
        drop((pressure, under_way));
        let items = result.as_ref().map_or(0, count);
        self.observers.emit(DependencyEvent::StageDone { stage, items, took: began.elapsed(), ok: result.is_ok() });
        if result.is_ok() {
            self.observers.emit(DependencyEvent::Up(stage.dependency()));
        }
        result
    }

    /// Tells that a call failed, and pauses before it is repeated. Returns at once when `until` is cancelled.
    pub(crate) async fn pause_after(
        &self,
        stage: Stage,
        failures: u32,
        error: &impl BackendError,
        until: &CancellationToken,
    ) {
        let retry_in = retry::jittered(retry::DEPENDENCY.ceiling(failures));
        let dependency = stage.dependency();
        self.observers.emit(DependencyEvent::Down { dependency, error: &error.to_string(), retry_in });
        tokio::select! {
            () = until.cancelled() => {}
            () = tokio::time::sleep(retry_in) => {}
        }
    }

    /// Makes a call until it is answered, however long a backend is down. `None` when `until` is cancelled first.
    /// The call learns how often it has failed already.
    pub(crate) async fn persist<T, E, F>(
        &self,
        stage: Stage,
        items: usize,
        until: &CancellationToken,
        mut call: impl FnMut(u32) -> F,
    ) -> Option<T>
    where
        E: BackendError,
        F: Future<Output = Result<T, E>>,
    {
        let mut failures = 0;
        loop {
            match self.call(stage, |_| items, call(failures)).await {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.pause_after(stage, failures, &error, until).await;
                }
            }
            if until.is_cancelled() {
                return None;
            }
        }
    }
}

/// An error of a backend, as far as the engine tells them apart: not at all. Whatever it is, the orders in hand have
/// nowhere else to go, and somebody may put it right.
pub(crate) trait BackendError: std::error::Error + Send + Sync + Sized {
    /// The call took longer than any may.
    fn no_answer(limit: Duration) -> Self;
}

impl BackendError for QueueError {
    fn no_answer(limit: Duration) -> Self {
        Self::Unavailable(format!("no answer within {limit:?}"))
    }
}

impl BackendError for StoreError {
    fn no_answer(limit: Duration) -> Self {
        Self::Unavailable(format!("no answer within {limit:?}"))
    }
}
