//! Follows what operators set for this worker, and tells the claim loop. A worker claims nothing until it has read once
//! whether it may; later, what it read last stays in force while the store gives no answer.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lease_keeper::LeaseKeeper;
use super::places::Places;
use super::progress::Progress;
use super::token_bucket::TokenBucket;
use crate::event::{ControlsEvent, Observers};
use crate::port::controls::{Control, Controls, InForce, WorkerReport};
use crate::port::store::StoreError;
use crate::testing::mutant::is_mutant;

/// How often the store is asked. With the longest answer that counts as no outage it is well within the 2 s that a pause may
/// take.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How often a worker reports that it claims, before it does: whoever sets a pause after the last of these answers finds that in
/// the registry, which the one before it has written, and waits.
const ANNOUNCE: u32 = 2;

/// How old this worker's entry in the registry may be, at most; a third of a lease where that is shorter.
const FRESH: Duration = Duration::from_secs(2);

/// How long one answer is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long the goodbye may take: without it, the entry is shown as dead until it is removed.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// Before each claim: whether there may be one, and of how many messages.
pub(crate) struct Gate {
    open: watch::Sender<bool>,
    rate: Mutex<Option<TokenBucket>>,
    claims: AtomicBool,
}

impl Gate {
    /// For an engine that nobody controls.
    pub(crate) fn open() -> Self {
        Self { open: watch::Sender::new(true), rate: Mutex::default(), claims: AtomicBool::new(false) }
    }

    /// Until it is known what is in force.
    pub(super) fn close(&self) {
        self.open.send_replace(is_mutant!(ClaimsUnread));
    }

    /// Waits until claims are allowed. Cancel-safe.
    pub(crate) async fn opened(&self) {
        // The sender is ours: it doesn't end.
        let _ = self.open.subscribe().wait_for(|open| *open || is_mutant!(ClaimsWhilePaused)).await;
    }

    /// Waits until the rate allows one message, and returns how many it does. Cancel-safe.
    pub(crate) async fn rate(&self) -> usize {
        loop {
            let Some(wait) = self.rate.lock().as_mut().map(|rate| rate.available(Instant::now())) else {
                return usize::MAX;
            };
            match wait {
                Ok(messages) => return messages.get(),
                // A rate that is set meanwhile counts no later than this.
                Err(wait) => tokio::time::sleep(wait.min(ASK_EVERY)).await,
            }
        }
    }

    /// For one claim; `None` if the gate was closed. Whoever closes it knows whether a claim is under way.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Pass> {
        self.claims.store(true, Ordering::SeqCst);
        let pass = Pass(Arc::clone(self));
        let is_open = *self.open.borrow() || is_mutant!(ClaimsWhilePaused);
        is_open.then_some(pass)
    }

    fn set(&self, is_open: bool, rate: Option<f64>) {
        let mut bucket = self.rate.lock();
        if bucket.as_ref().map(TokenBucket::per_second) != rate {
            *bucket = rate.map(|rate| TokenBucket::new(rate, Instant::now()));
        }
        drop(bucket);
        self.open.send_if_modified(|open| std::mem::replace(open, is_open) != is_open);
    }

    fn is_closed(&self) -> bool {
        !*self.open.borrow()
    }

    /// Closed, and no claim is under way: there will be none.
    fn holds_claims(&self) -> bool {
        self.is_closed() && !self.claims.load(Ordering::SeqCst)
    }
}

/// Held while a claim is under way.
pub(crate) struct Pass(Arc<Gate>);

impl Pass {
    /// What came of the claim, for the rate.
    pub(crate) fn claimed(&self, messages: usize) {
        if let Some(rate) = &mut *self.0.rate.lock() {
            rate.take(messages);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.claims.store(false, Ordering::SeqCst);
    }
}

/// Who this worker is, for the registry.
#[derive(Debug, Clone)]
pub struct Process {
    /// The machine.
    pub host: String,
    /// Of the process.
    pub pid: u32,
    /// Of this program.
    pub version: String,
    /// As configured.
    pub lease: Duration,
}

/// Reports this worker to the registry, and follows what is in force for it.
pub struct FleetControls {
    pub(super) gate: Arc<Gate>,
    pub(super) places: Arc<Places>,
    pub(super) progress: Arc<Progress>,
    pub(super) keeper: Arc<OnceLock<Arc<LeaseKeeper>>>,
    pub(super) observers: Observers,
    pub(super) store: Arc<dyn Controls>,
    pub(super) process: Process,
}

impl FleetControls {
    /// Works until `ended` is cancelled, also during a drain, and then takes its leave.
    pub async fn run(self, ended: CancellationToken) {
        let limits = watch::Sender::new(None);
        let following = tokio::spawn(Arc::clone(&self.places).follow(limits.subscribe()));
        let mut known: Option<InForce> = None;
        let mut announced = 0;
        loop {
            let pause = match ended.run_until_cancelled(self.ask(announced > 0)).await {
                Some(Ok(in_force)) if announced < ANNOUNCE && self.would_open(&in_force) => {
                    announced += 1;
                    continue;
                }
                Some(Ok(in_force)) => {
                    announced = 0;
                    let same = known.as_ref().is_some_and(|known| known.says_the_same(&in_force));
                    self.apply(&in_force, &limits);
                    self.observers.emit(ControlsEvent::Read);
                    if !same {
                        self.observers.emit(ControlsEvent::InForce(&in_force));
                    }
                    known = Some(in_force);
                    // What was applied is reported at once, for whoever waits for it.
                    if same { ASK_EVERY } else { Duration::from_millis(20) }
                }
                Some(Err(error)) => {
                    self.observers.emit(ControlsEvent::Unread { error: &error.to_string(), known: known.is_some() });
                    ASK_EVERY
                }
                None => break,
            };
            if ended.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        following.abort();
        if !matches!(tokio::time::timeout(LEAVE_LIMIT, self.store.leave()).await, Ok(Ok(()))) {
            tracing::debug!("this worker's entry in the registry could not be removed; it is removed a day from now");
        }
    }

    /// Whether it would end a pause, or is the first that is known.
    fn would_open(&self, in_force: &InForce) -> bool {
        !in_force.holds_claims() && self.gate.is_closed()
    }

    /// With a report that it claims, if it is about to.
    async fn ask(&self, is_about_to_claim: bool) -> Result<InForce, StoreError> {
        let Process { host, pid, version, lease } = self.process.clone();
        let report = WorkerReport {
            host,
            pid,
            version,
            lease,
            in_flight: self.progress.in_flight() as u64,
            row_leases: self.keeper.get().map_or(0, |keeper| keeper.rows_held() as u64),
            concurrency: self.places.limit() as u64,
            holds_claims: !is_about_to_claim && self.gate.holds_claims(),
        };
        match tokio::time::timeout(ANSWER_LIMIT, self.store.report(&report, FRESH.min(lease / 3))).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", ANSWER_LIMIT.as_secs()))),
        }
    }

    fn apply(&self, in_force: &InForce, limits: &watch::Sender<Option<NonZeroUsize>>) {
        self.gate.set(!in_force.holds_claims(), in_force.limit(Control::Rate));
        let concurrency = in_force.limit(Control::Concurrency).and_then(|limit| NonZeroUsize::new(limit as usize));
        limits.send_if_modified(|limit| std::mem::replace(limit, concurrency) != concurrency);
    }
}
