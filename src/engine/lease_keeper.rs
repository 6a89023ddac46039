//! Renews both leases of every delivery, the message's in the queue and the row's in the store, while a call, a slow
//! backend or a drain takes its time. Runs on a thread of its own, see `docs/adr/0010-lease-thread.md`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::{MutexGuard, Notify};
use tokio::time::Instant;

use super::backends::Backends;
use super::options::BATCH;
use super::progress::Progress;
use crate::domain::label::Label;
use crate::domain::order::{Fence, OrderId};
use crate::domain::trace_context::TraceContext;
use crate::event::{AttemptRef, Lease, Loop, OrderEvent, RowStage, Stage};
use crate::port::queue::{Receipt, ReceiptState};
use crate::port::store::{Renewal, Renewed};

/// Keeps the leases of one delivery until it is dropped.
pub(crate) struct LeaseGuard {
    key: usize,
    keeper: Weak<LeaseKeeper>,
    receipt: Receipt,
    attempt: u32,
    order_id: Option<OrderId>,
    trace: Option<TraceContext>,
    /// The fence of the order's row while an attempt is under way. Locked while a renewal is, so that nobody
    /// concludes with the fence that it is about to move.
    fence: tokio::sync::Mutex<Option<Fence>>,
    /// The fence held when the row turned out to be lost.
    lost_fence: OnceLock<Fence>,
    row_lost_notice: Notify,
    /// When each lease was renewed last, in milliseconds since the keeper's epoch.
    message_renewed_ms: AtomicU64,
    row_renewed_ms: AtomicU64,
    queue_lost: AtomicBool,
    settling: AtomicBool,
}

impl LeaseGuard {
    /// Renews and settles the message.
    pub(crate) fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// From now on a message that is gone from the queue was settled by us; its lease was not lost.
    pub(crate) fn settle(&self) {
        self.settling.store(true, Ordering::Release);
    }

    /// From now on the row is kept as well.
    pub(crate) async fn keep_row(&self, fence: Fence) {
        *self.fence.lock().await = Some(fence);
    }

    /// Stops renewing the row, and returns its newest fence. Waits for a renewal that is under way.
    pub(crate) async fn release_row(&self) -> Option<Fence> {
        self.fence.lock().await.take()
    }

    /// Returns when the row's lease is lost. Cancel-safe.
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
        self.lost_fence().is_some()
    }

    /// The fence that the row was kept under until it was taken from us.
    pub(crate) fn lost_fence(&self) -> Option<Fence> {
        self.lost_fence.get().copied()
    }

    fn renewed_ms(&self, lease: Lease) -> &AtomicU64 {
        match lease {
            Lease::Message => &self.message_renewed_ms,
            Lease::Row => &self.row_renewed_ms,
        }
    }

    fn lose_row(&self, fence: Fence) {
        // Set once, as what is lost is not kept again.
        let _ = self.lost_fence.set(fence);
        self.row_lost_notice.notify_waiters();
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.upgrade() {
            keeper.guards().try_remove(self.key);
        }
    }
}

/// Renews the leases of whatever is held for longer than a third of its lease.
pub(crate) struct LeaseKeeper {
    /// With connections of their own, where they have any.
    backends: Backends,
    progress: Arc<Progress>,
    lease: Duration,
    epoch: Instant,
    guards: Mutex<Slab<Weak<LeaseGuard>>>,
}

impl LeaseKeeper {
    pub(crate) fn new(backends: Backends, progress: Arc<Progress>, lease: Duration) -> Arc<Self> {
        Arc::new(Self { backends, progress, lease, epoch: Instant::now(), guards: Mutex::default() })
    }

    /// Keeps the lease of a message that was claimed just now.
    pub(crate) fn keep(
        self: &Arc<Self>,
        receipt: Receipt,
        attempt: u32,
        order_id: Option<OrderId>,
        trace: Option<TraceContext>,
    ) -> Arc<LeaseGuard> {
        let now = self.now_ms();
        let mut guards = self.guards();
        let entry = guards.vacant_entry();
        let guard = Arc::new(LeaseGuard {
            key: entry.key(),
            keeper: Arc::downgrade(self),
            receipt,
            attempt,
            order_id,
            trace,
            fence: tokio::sync::Mutex::default(),
            lost_fence: OnceLock::new(),
            row_lost_notice: Notify::new(),
            message_renewed_ms: AtomicU64::new(now),
            row_renewed_ms: AtomicU64::new(now),
            queue_lost: AtomicBool::new(false),
            settling: AtomicBool::new(false),
        });
        entry.insert(Arc::downgrade(&guard));
        drop(guards);
        guard
    }

    /// Looks six times per lease until aborted. Messages and rows go their own ways, so that a queue that is down
    /// doesn't cost the rows their leases, nor the other way round.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::join!(self.renew_in_time(Lease::Message), self.renew_in_time(Lease::Row));
    }

    async fn renew_in_time(&self, lease: Lease) {
        let every = (self.lease / 6).max(Duration::from_millis(10));
        let mut let_go = false;
        loop {
            self.progress.with_heartbeat(Loop::LeaseKeeper, tokio::time::sleep(every)).await;
            if self.progress.is_wedged() {
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
                let renewed = self.progress.with_heartbeat(Loop::LeaseKeeper, self.renew(lease, batch)).await;
                let Some(locked) = renewed else { continue };
                // What is locked stays due: its lease runs on.
                for guard in batch.iter().filter(|guard| guard.order_id.is_none_or(|id| !locked.contains(&id))) {
                    guard.renewed_ms(lease).store(now, Ordering::Relaxed);
                }
            }
        }
    }

    /// Returns the orders whose rows others have locked, or `None` if there was no answer.
    async fn renew(&self, lease: Lease, batch: &[Arc<LeaseGuard>]) -> Option<Vec<OrderId>> {
        match lease {
            Lease::Message => self.renew_messages(batch).await,
            Lease::Row => self.renew_rows(batch).await,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Number of orders whose rows are kept.
    pub(crate) fn rows_held(&self) -> usize {
        let guards: Vec<Weak<LeaseGuard>> = self.guards().iter().map(|(_, guard)| guard.clone()).collect();
        // One that is locked is being renewed, or concluded.
        let is_held = |guard: &Arc<LeaseGuard>| guard.fence.try_lock().map_or(true, |fence| fence.is_some());
        guards.iter().filter_map(Weak::upgrade).filter(is_held).count()
    }

    fn guards(&self) -> parking_lot::MutexGuard<'_, Slab<Weak<LeaseGuard>>> {
        self.guards.lock()
    }

    fn due(&self, lease: Lease) -> Vec<Arc<LeaseGuard>> {
        let third = u64::try_from((self.lease / 3).as_millis()).unwrap_or(u64::MAX);
        let now = self.now_ms();
        // Upgraded outside the lock: the last reference to a guard may be dropped here, and its drop takes the lock.
        let guards: Vec<Weak<LeaseGuard>> = self.guards().iter().map(|(_, guard)| Weak::clone(guard)).collect();
        let mut due: Vec<Arc<LeaseGuard>> = guards
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|guard| guard.renewed_ms(lease).load(Ordering::Relaxed).saturating_add(third) <= now)
            .collect();
        due.sort_by_key(|guard| guard.renewed_ms(lease).load(Ordering::Relaxed));
        due
    }

    async fn renew_messages(&self, batch: &[Arc<LeaseGuard>]) -> Option<Vec<OrderId>> {
        let kept: Vec<&Arc<LeaseGuard>> =
            batch.iter().filter(|guard| !guard.queue_lost.load(Ordering::Relaxed)).collect();
        if kept.is_empty() {
            return Some(Vec::new());
        }
        let receipts: Vec<Receipt> = kept.iter().map(|guard| guard.receipt.clone()).collect();
        match self.backends.call(Stage::RenewQueue, Vec::len, self.backends.queue.renew(&receipts)).await {
            Ok(verdicts) => {
                for (guard, verdict) in kept.iter().zip(verdicts) {
                    // The work goes on: the row decides, and nobody else can begin it while its lease is kept.
                    if verdict == ReceiptState::Stale && !guard.settling.load(Ordering::Acquire) {
                        guard.queue_lost.store(true, Ordering::Relaxed);
                        self.report_loss(Lease::Message, guard);
                    }
                }
                Some(Vec::new())
            }
            Err(error) => {
                self.backends.report_down(Stage::RenewQueue, &error, self.lease / 6);
                None
            }
        }
    }

    async fn renew_rows(&self, batch: &[Arc<LeaseGuard>]) -> Option<Vec<OrderId>> {
        let mut renewals = Vec::new();
        let mut kept: Vec<(&Arc<LeaseGuard>, MutexGuard<'_, Option<Fence>>)> = Vec::new();
        for guard in batch {
            // A lock that is taken is an attempt that is just ending.
            if let (Some(order_id), Ok(held)) = (guard.order_id, guard.fence.try_lock())
                && let Some(fence) = *held
            {
                renewals.push(Renewal { order_id, fence });
                kept.push((guard, held));
            }
        }
        if renewals.is_empty() {
            return Some(Vec::new());
        }
        // A renewal begins before half of the lease is over. One that hangs on a dead connection leaves time for another
        // one, on a new connection.
        let (limit, call) = (self.lease / 4, self.backends.store.renew(&renewals));
        match self.backends.call_within(limit, Stage::RenewStore, Vec::len, call).await {
            Ok(answers) => {
                let mut locked = Vec::new();
                for (((guard, mut held), renewal), answer) in kept.into_iter().zip(&renewals).zip(answers) {
                    match answer {
                        Renewed::Kept(fence) => *held = Some(fence),
                        // Whoever has locked it may be about to take the row over. Then the next look finds it lost.
                        Renewed::Locked => locked.push(renewal.order_id),
                        Renewed::Lost => {
                            *held = None;
                            // Before the lock is given back: whoever takes it must not mistake the loss for no row.
                            guard.lose_row(renewal.fence);
                            self.report_loss(Lease::Row, guard);
                        }
                    }
                }
                self.backends.report_locked(RowStage::RenewStore, &locked);
                Some(locked)
            }
            // The fence may have moved without our learning it. The next renewal or conclusion then finds the row
            // superseded: the order is done again with the same key, after its lease. Nothing is lost.
            Err(error) => {
                self.backends.report_down(Stage::RenewStore, &error, self.lease / 6);
                None
            }
        }
    }

    fn report_loss(&self, lease: Lease, guard: &LeaseGuard) {
        let attempt =
            AttemptRef { order_id: guard.order_id, correlation_id: None, number: guard.attempt, trace: guard.trace };
        self.backends.observers.emit(OrderEvent::LeaseLost { lease, attempt });
    }
}
