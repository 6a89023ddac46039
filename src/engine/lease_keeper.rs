//! Keeps what is in hand alive: both leases, the message's in the queue and the row's in the store, are renewed
//! while a call, a slow backend or a drain takes its time. On a thread of its own, see `docs/adr/0010-lease-thread.md`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::Instant;

use crate::domain::order::{Fence, OrderId};
use crate::domain::trace_context::TraceContext;
use crate::engine::{BATCH, Context};
use crate::event::{Event, Lease, Loop, Stage, Subject};
use crate::port::queue::{Held, Queue, Receipt};
use crate::port::store::{OrderStore, Renewal, Renewed};

/// What is kept alive of one message in hand. Ends when dropped.
pub(crate) struct Hold {
    key: u64,
    keeper: Weak<LeaseKeeper>,
    receipt: Receipt,
    attempt: u32,
    order_id: Option<OrderId>,
    trace: Option<TraceContext>,
    /// The fence of the order's row while an attempt is under way. Locked while a renewal is, so that nobody
    /// concludes with the fence that it is about to move.
    fence: Arc<tokio::sync::Mutex<Option<Fence>>>,
    row_lost: AtomicBool,
    row_lost_notice: Notify,
    /// When each lease was renewed last, in milliseconds since the keeper's epoch.
    message_renewed_ms: AtomicU64,
    row_renewed_ms: AtomicU64,
    queue_lost: AtomicBool,
    settling: AtomicBool,
}

impl Hold {
    /// From now on a message that is gone from the queue is one that we settled, not a lease that was lost.
    pub(crate) fn settle(&self) {
        self.settling.store(true, Ordering::Release);
    }

    /// From now on the row is kept as well.
    pub(crate) async fn keep_row(&self, fence: Fence) {
        *self.fence.lock().await = Some(fence);
    }

    /// Ends the keeping of the row, and returns its newest fence. Waits for a renewal that is under way.
    pub(crate) async fn release_row(&self) -> Option<Fence> {
        self.fence.lock().await.take()
    }

    /// Returns when the row's lease is lost. May be dropped at any time.
    pub(crate) async fn row_lost(&self) {
        loop {
            // Interest is registered before looking, so that a loss in between is not missed.
            let notified = self.row_lost_notice.notified();
            if self.has_lost_row() {
                return;
            }
            notified.await;
        }
    }

    /// Whether the row was taken from us while it was kept.
    pub(crate) fn has_lost_row(&self) -> bool {
        self.row_lost.load(Ordering::Acquire)
    }

    fn renewed_ms(&self, lease: Lease) -> &AtomicU64 {
        match lease {
            Lease::Message => &self.message_renewed_ms,
            Lease::Row => &self.row_renewed_ms,
        }
    }

    fn lose_row(&self) {
        self.row_lost.store(true, Ordering::Release);
        self.row_lost_notice.notify_waiters();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.upgrade() {
            keeper.holds().remove(&self.key);
        }
    }
}

/// Renews in the background whatever is held for longer than a third of its lease.
pub(crate) struct LeaseKeeper {
    context: Arc<Context>,
    queue: Arc<dyn Queue>,
    store: Arc<dyn OrderStore>,
    epoch: Instant,
    next_key: AtomicU64,
    held: Mutex<HashMap<u64, Weak<Hold>>>,
}

impl LeaseKeeper {
    /// Renews through these backends.
    pub(crate) fn new(context: Arc<Context>, (queue, store): (Arc<dyn Queue>, Arc<dyn OrderStore>)) -> Arc<Self> {
        let (next_key, held) = (AtomicU64::new(0), Mutex::new(HashMap::new()));
        Arc::new(Self { context, queue, store, epoch: Instant::now(), next_key, held })
    }

    /// Keeps the lease of a message that was claimed just now.
    pub(crate) fn hold(
        self: &Arc<Self>,
        receipt: Receipt,
        attempt: u32,
        order_id: Option<OrderId>,
        trace: Option<TraceContext>,
    ) -> Arc<Hold> {
        let hold = Arc::new(Hold {
            key: self.next_key.fetch_add(1, Ordering::Relaxed),
            keeper: Arc::downgrade(self),
            receipt,
            attempt,
            order_id,
            trace,
            fence: Arc::default(),
            row_lost: AtomicBool::new(false),
            row_lost_notice: Notify::new(),
            message_renewed_ms: AtomicU64::new(self.now_ms()),
            row_renewed_ms: AtomicU64::new(self.now_ms()),
            queue_lost: AtomicBool::new(false),
            settling: AtomicBool::new(false),
        });
        self.holds().insert(hold.key, Arc::downgrade(&hold));
        hold
    }

    /// Looks six times per lease until aborted. Messages and rows go their own ways, so that a queue that is down
    /// doesn't cost the rows their leases, nor the other way round.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::join!(self.keep(Lease::Message), self.keep(Lease::Row));
    }

    async fn keep(&self, lease: Lease) {
        let every = (self.context.options.lease / 6).max(Duration::from_millis(10));
        let mut let_go = false;
        loop {
            self.context.beating(Loop::LeaseKeeper, tokio::time::sleep(every)).await;
            if self.context.is_wedged() {
                if !std::mem::replace(&mut let_go, true) {
                    tracing::error!(
                        lease = lease.as_str(),
                        "the worker is wedged: its leases are left to run out, so that others take over its orders"
                    );
                }
                continue;
            }
            let_go = false;
            for batch in self.due(lease).chunks(BATCH) {
                let now = self.now_ms();
                let renewed = self.context.beating(Loop::LeaseKeeper, self.renew(lease, batch)).await;
                let Some(locked) = renewed else { continue };
                // What is locked stays due: its lease runs on.
                for hold in batch.iter().filter(|hold| hold.order_id.is_none_or(|id| !locked.contains(&id))) {
                    hold.renewed_ms(lease).store(now, Ordering::Relaxed);
                }
            }
        }
    }

    /// Returns the orders whose rows others have locked, or `None` if there was no answer.
    async fn renew(&self, lease: Lease, batch: &[Arc<Hold>]) -> Option<Vec<OrderId>> {
        match lease {
            Lease::Message => self.renew_messages(batch).await,
            Lease::Row => self.renew_rows(batch).await,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn holds(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Weak<Hold>>> {
        // Nothing panics while holding it, and the map is whole between any two statements.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, lease: Lease) -> Vec<Arc<Hold>> {
        let third = u64::try_from((self.context.options.lease / 3).as_millis()).unwrap_or(u64::MAX);
        let now = self.now_ms();
        // Upgraded outside the lock: the last reference to a hold may be dropped here, and its drop takes the lock.
        let held: Vec<Weak<Hold>> = self.holds().values().cloned().collect();
        let mut due: Vec<Arc<Hold>> = held
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|hold| hold.renewed_ms(lease).load(Ordering::Relaxed).saturating_add(third) <= now)
            .collect();
        due.sort_by_key(|hold| hold.renewed_ms(lease).load(Ordering::Relaxed));
        due
    }

    async fn renew_messages(&self, batch: &[Arc<Hold>]) -> Option<Vec<OrderId>> {
        let kept: Vec<&Arc<Hold>> = batch.iter().filter(|hold| !hold.queue_lost.load(Ordering::Relaxed)).collect();
        if kept.is_empty() {
            return Some(Vec::new());
        }
        let receipts: Vec<Receipt> = kept.iter().map(|hold| hold.receipt.clone()).collect();
        match self.context.call(Stage::RenewQueue, Vec::len, self.queue.renew(&receipts)).await {
            Ok(verdicts) => {
                for (hold, verdict) in kept.iter().zip(verdicts) {
                    // The work goes on: the row decides, and nobody else can begin it while its lease is kept.
                    if verdict == Held::Lost && !hold.settling.load(Ordering::Acquire) {
                        hold.queue_lost.store(true, Ordering::Relaxed);
                        self.report_loss(Lease::Message, hold);
                    }
                }
                Some(Vec::new())
            }
            Err(error) => {
                self.report_down(Stage::RenewQueue, &error);
                None
            }
        }
    }

    async fn renew_rows(&self, batch: &[Arc<Hold>]) -> Option<Vec<OrderId>> {
        let mut renewals = Vec::new();
        let mut kept: Vec<(&Arc<Hold>, OwnedMutexGuard<Option<Fence>>)> = Vec::new();
        for hold in batch {
            // A lock that is taken is an attempt that is just ending.
            if let (Some(order_id), Ok(guard)) = (hold.order_id, Arc::clone(&hold.fence).try_lock_owned())
                && let Some(fence) = *guard
            {
                renewals.push(Renewal { order_id, fence });
                kept.push((hold, guard));
            }
        }
        if renewals.is_empty() {
            return Some(Vec::new());
        }
        match self.context.call(Stage::RenewStore, Vec::len, self.store.renew(&renewals)).await {
            Ok(answers) => {
                let mut locked = Vec::new();
                for (((hold, mut guard), renewal), answer) in kept.into_iter().zip(&renewals).zip(answers) {
                    match answer {
                        Renewed::Kept(fence) => *guard = Some(fence),
                        // Whoever has locked it may be about to take the row over. Then the next look finds it lost.
                        Renewed::Locked => locked.push(renewal.order_id),
                        Renewed::Lost => {
                            *guard = None;
                            // Before the lock is given back: whoever takes it must not mistake the loss for no row.
                            hold.lose_row();
                            self.report_loss(Lease::Row, hold);
                        }
                    }
                }
                self.context.tell_locked(Stage::RenewStore, &locked);
                Some(locked)
            }
            // The fence may have moved without our learning it. The next renewal or conclusion then finds the row
            // superseded: the order is done again with the same key, after its lease. Nothing is lost.
            Err(error) => {
                self.report_down(Stage::RenewStore, &error);
                None
            }
        }
    }

    fn report_loss(&self, lease: Lease, hold: &Hold) {
        let subject =
            Subject { order_id: hold.order_id, correlation_id: None, attempt: hold.attempt, trace: hold.trace };
        self.context.observers.emit(Event::LeaseLost { lease, subject });
    }

    fn report_down(&self, stage: Stage, error: &dyn std::error::Error) {
        let retry_in = self.context.options.lease / 6;
        let dependency = stage.dependency();
        self.context.observers.emit(Event::DependencyDown { dependency, error: &error.to_string(), retry_in });
    }
}
