//! Permit → claim → begin → fulfil: takes messages, takes their orders into work, and has the work done.
//!
//! A batch forms by itself: while one is being begun, permits come back and the next claim takes that many more.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::engine::{BATCH, BATCHES_AT_ONCE, Context};
use crate::event::{Event, Loop, RetryReason, Stage};
use crate::fulfiller::Outcome;
use crate::in_hand::{Ending, Finished, InHand};
use crate::lease::LeaseKeeper;
use crate::message;
use crate::order::Order;
use crate::queue::{Claim, Claimed};
use crate::store::{BeginRequest, Begun, DeadReason};

/// The longest wait for a message before looking again: how late retries and hand-backs of other workers may be seen.
const WAIT_LIMIT: Duration = Duration::from_secs(1);

/// How soon a message is looked at again whose order another worker holds: not in a tight loop, not much too late.
const BUSY: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(2);

/// The longest time that a fulfiller can ask to be left alone for.
const AFTER_LIMIT: Duration = Duration::from_secs(3_600);

/// Cheap to clone: every batch and every call has one.
#[derive(Clone)]
pub(crate) struct Worker {
    context: Arc<Context>,
    permits: Arc<Semaphore>,
    begin_slots: Arc<Semaphore>,
    keeper: Arc<LeaseKeeper>,
    finished: mpsc::Sender<Finished>,
}

impl Worker {
    pub(crate) fn new(
        context: Arc<Context>,
        permits: Arc<Semaphore>,
        keeper: Arc<LeaseKeeper>,
        finished: mpsc::Sender<Finished>,
    ) -> Self {
        let begin_slots = Arc::new(Semaphore::new(BATCHES_AT_ONCE));
        Self { context, permits, begin_slots, keeper, finished }
    }

    /// Claims until the drain begins, and leaves nothing claimed that nobody knows of.
    pub(crate) async fn run(self) {
        self.claim().await;
        if let Err(error) = self.context.queue.release_unanswered().await {
            tracing::warn!(%error, "claims whose answers never arrived are left to their leases");
        }
    }

    async fn claim(&self) {
        let drain = self.context.shutdown.drain.clone();
        let mut failures = 0;
        loop {
            let room = self.context.beating(Loop::Worker, self.room());
            let Some(Some((slot, permits))) = drain.run_until_cancelled(room).await else { return };
            // Not to be dropped half way: what it took would have to wait for its lease.
            let claim = self.context.queue.claim(permits.num_permits());
            match self.context.call(Stage::Claim, |claimed: &Claimed| claimed.claims.len(), claim).await {
                Ok(claimed) if claimed.claims.is_empty() => {
                    failures = 0;
                    drop((slot, permits));
                    let at_most = claimed.next_due.map_or(WAIT_LIMIT, |due| due.min(WAIT_LIMIT));
                    drain.run_until_cancelled(self.context.queue.wait(at_most)).await;
                }
                Ok(claimed) => {
                    failures = 0;
                    let batch = self.take_in_hand(claimed.claims, permits);
                    let worker = self.clone();
                    tokio::spawn(async move {
                        worker.begin(batch).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    failures += 1;
                    drop((slot, permits));
                    self.context.pause_after(Stage::Claim, failures, &error, &drain).await;
                }
            }
        }
    }

    /// Waits until a batch may be begun and at least one order may fly, and takes as many permits as there are.
    async fn room(&self) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.begin_slots).acquire_owned().await.ok()?;
        let mut permits = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let more = self.permits.available_permits().min(BATCH - 1);
        if let Ok(more) = Arc::clone(&self.permits).try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
            permits.merge(more);
        }
        Some((slot, permits))
    }

    fn take_in_hand(&self, claims: Vec<Claim>, mut permits: OwnedSemaphorePermit) -> Vec<InHand> {
        self.context.count_in_flight(claims.len(), 0);
        let claimed_at = Instant::now();
        claims
            .into_iter()
            .filter_map(|claim| {
                // Never `None`: a claim brings at most as many as it was asked for. Its lease would bring it back.
                let permit = permits.split(1)?;
                let message = message::decode(&claim.payload).ok();
                let order_id = message.as_ref().map(message::Message::order_id);
                let hold = self.keeper.hold(claim.receipt.clone(), claim.attempt, order_id);
                Some(InHand { claim, message, claimed_at, hold, _permit: permit })
            })
            .collect()
    }

    /// Takes the orders of a batch into work, and starts the calls.
    async fn begin(&self, batch: Vec<InHand>) {
        let mut orders = Vec::with_capacity(batch.len());
        let mut requests = Vec::with_capacity(batch.len());
        for in_hand in batch {
            match in_hand.order_id() {
                Some(order_id) => {
                    let correlation_id = in_hand.correlation_id().map(str::to_owned);
                    requests.push(BeginRequest { order_id, attempt: in_hand.claim.attempt, correlation_id });
                    orders.push(in_hand);
                }
                None => self.turn_away_poison(in_hand).await,
            }
        }
        if requests.is_empty() {
            return;
        }
        // Until hand-back, not drain: what is in hand is finished if it can be.
        let until = &self.context.shutdown.hand_back;
        let store = &self.context.store;
        let begun = self.context.persist(Stage::Begin, requests.len(), until, |_| store.begin(&requests)).await;
        match begun {
            Some(answers) => {
                for (in_hand, answer) in orders.into_iter().zip(answers) {
                    self.start(in_hand, answer).await;
                }
            }
            None => {
                for in_hand in orders {
                    self.finish(in_hand, Ending::handed_back()).await;
                }
            }
        }
    }

    async fn turn_away_poison(&self, in_hand: InHand) {
        if let Err(poison) = message::decode(&in_hand.claim.payload) {
            let ending = Ending::Dead { reason: DeadReason::InvalidMessage, detail: poison.to_string() };
            self.finish(in_hand, ending).await;
        }
    }

    async fn start(&self, in_hand: InHand, begun: Begun) {
        let attempt = in_hand.claim.attempt;
        let ending = match begun {
            Begun::Started { order, fence, takeover } => {
                in_hand.hold.keep_row(fence).await;
                self.context.observers.emit(Event::AttemptStarted { subject: in_hand.subject(), takeover });
                if self.context.shutdown.hand_back.is_cancelled() {
                    return self.finish(in_hand, Ending::handed_back()).await;
                }
                if attempt <= self.context.options.retry.max_attempts {
                    let worker = self.clone();
                    tokio::spawn(async move { worker.fulfil(in_hand, order).await });
                    return;
                }
                // Counted at the claim: all of its attempts began and none came to an end.
                let detail = format!("{} attempts began and their workers died or lost it", attempt - 1);
                Ending::Dead { reason: DeadReason::AttemptsExhausted, detail }
            }
            Begun::AlreadyFinal(_) => Ending::AlreadyFinal,
            Begun::NotOurs(status) => Ending::Skipped { status },
            Begun::Busy(remaining) => {
                let after = remaining.clamp(*BUSY.start(), *BUSY.end());
                Ending::unspent(RetryReason::Busy, after, "another worker holds the order")
            }
            Begun::Unknown => {
                let error = "no such order in the table".to_owned();
                self.context.failed(attempt, RetryReason::UnknownOrder, error, DeadReason::UnknownOrder, None)
            }
            Begun::Refused(error) => {
                self.context.failed(attempt, RetryReason::StoreRefused, error, DeadReason::StoreRefused, None)
            }
        };
        self.finish(in_hand, ending).await;
    }

    /// One call to the fulfiller, from start to finish.
    async fn fulfil(&self, in_hand: InHand, order: Order) {
        // An answer that is there counts, whatever else has happened by then.
        let ending = tokio::select! {
            biased;
            ending = self.attempt(&order) => ending,
            () = in_hand.hold.row_lost() => lease_lost(),
            () = self.context.shutdown.hand_back.cancelled() => Ending::handed_back(),
        };
        self.finish(in_hand, ending).await;
    }

    /// The call within its time limit, with its panics caught.
    async fn attempt(&self, order: &Order) -> Ending {
        let key = order.idempotency_key();
        let limit = self.context.options.call_timeout;
        let call = AssertUnwindSafe(self.context.fulfiller.fulfil(order, &key)).catch_unwind();
        let (reason, error, after) = match tokio::time::timeout(limit, call).await {
            Ok(Ok(Outcome::Fulfilled { reference })) => return Ending::Fulfilled { reference },
            Ok(Ok(Outcome::Rejected { reason })) => {
                return Ending::Dead { reason: DeadReason::Rejected, detail: reason };
            }
            Ok(Ok(Outcome::Retry { reason, after })) => (RetryReason::FulfillerFailed, reason, after),
            Ok(Err(panic)) => (RetryReason::FulfillerPanicked, panic_message(&*panic), None),
            Err(_) => (RetryReason::FulfillerTimeout, format!("no answer from the fulfiller within {limit:?}"), None),
        };
        self.context.failed(order.attempt, reason, error, DeadReason::AttemptsExhausted, after)
    }

    async fn finish(&self, in_hand: InHand, ending: Ending) {
        let fence = in_hand.hold.release_row().await;
        // Without its row nothing can be concluded, however the call ended: the message must not be acknowledged.
        let ending = if fence.is_none() && in_hand.hold.has_lost_row() { lease_lost() } else { ending };
        // Fails only when the completer is gone, which is after the drain: leases bring the order back.
        let _ = self.finished.send(Finished { in_hand, fence, ending }).await;
    }
}

fn lease_lost() -> Ending {
    Ending::unspent(RetryReason::LeaseLost, *BUSY.end(), "the row's lease was lost")
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the fulfiller panicked: {}", text.unwrap_or("without a message"))
}

impl Context {
    /// What becomes of an order whose attempt failed: another one, or the dead letters after the last.
    pub(crate) fn failed(
        &self,
        attempt: u32,
        reason: RetryReason,
        error: String,
        dead: DeadReason,
        asked: Option<Duration>,
    ) -> Ending {
        match self.options.retry.after(attempt) {
            Some(after) => {
                let after = asked.map_or(after, |asked| asked.min(AFTER_LIMIT).max(after));
                Ending::Retry { reason, error, after, spent: true }
            }
            None => Ending::Dead { reason: dead, detail: format!("attempt {attempt}, the last one: {error}") },
        }
    }
}
