//! Claim → begin → fulfil: takes messages as admission allows, takes their orders into work, and has the work done.
//!
//! A batch forms by itself: while one is being begun, permits come back and the next claim takes that many more.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::domain::message;
use crate::domain::order::{IdempotencyKey, Order};
use crate::domain::retry::{self, WhenAmbiguous};
use crate::engine::Context;
use crate::engine::admission::{Admission, Gatekeeper};
use crate::engine::in_hand::{Ending, Finished, InHand};
use crate::engine::lease_keeper::LeaseKeeper;
use crate::event::{CallOutcome, Dependency, Event, Loop, RetryReason, Stage, Subject};
use crate::observe::trace::attempt as trace;
use crate::port::fulfiller::Outcome;
use crate::port::queue::{Claim, Claimed};
use crate::port::store::{BeginRequest, Begun, DeadReason, TAKEN_OVER};
use crate::testing::mutant::is_mutant;

/// The longest wait for a message before looking again: how late retries and hand-backs of other workers may be seen.
const WAIT_LIMIT: Duration = Duration::from_secs(1);

/// How soon a message is looked at again whose order another worker holds: not in a tight loop, not much too late.
const BUSY: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(2);

/// How soon a message is looked at again whose order's row somebody has locked: for that, attempts cost nothing, and
/// a migration may have locked thousands.
const LOCKED_PAUSE: Duration = Duration::from_secs(1);

/// The longest time that a fulfiller can ask to be left alone for.
const AFTER_LIMIT: Duration = Duration::from_secs(24 * 3_600);

/// Cheap to clone: every batch and every call has one.
#[derive(Clone)]
pub(crate) struct Worker {
    context: Arc<Context>,
    gatekeeper: Gatekeeper,
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
        let gatekeeper = Gatekeeper::new(Arc::clone(&context), permits);
        Self { context, gatekeeper, keeper, finished }
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
            let admitted = self.context.beating(Loop::Worker, self.gatekeeper.admit());
            let Some(Some(Admission { slot, permits })) = drain.run_until_cancelled(admitted).await else { return };
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
                let span = self.context.tracer.attempt(&claim, message.as_ref());
                let hold = self.keeper.hold(claim.receipt.clone(), claim.attempt, order_id, span.context());
                let waiting = Some(self.context.pressure.wait());
                Some(InHand { claim, message, claimed_at, hold, span, waiting, _permit: permit })
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
        let began = SystemTime::now();
        let begun = self.context.persist(Stage::Begin, requests.len(), until, |_| store.begin(&requests)).await;
        match begun {
            Some(answers) => {
                let locked = answers.iter().zip(&requests).filter(|(answer, _)| **answer == Begun::Locked);
                self.context
                    .tell_locked(Stage::Begin, &locked.map(|(_, request)| request.order_id).collect::<Vec<_>>());
                for (in_hand, answer) in orders.into_iter().zip(answers) {
                    in_hand.span.step("begin", began, requests.len());
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

    async fn start(&self, mut in_hand: InHand, begun: Begun) {
        let attempt = in_hand.claim.attempt;
        let ending = match begun {
            Begun::Started { order, fence, takeover, waited } => {
                self.context.watermark.raise(order.created_at_micros);
                in_hand.hold.keep_row(fence).await;
                self.context.observers.emit(Event::AttemptStarted { subject: in_hand.subject(), takeover, waited });
                // Before anything gives it back: the next worker would not know that it was taken over.
                if takeover && self.context.parks_ambiguous() {
                    return self.finish(in_hand, parked(TAKEN_OVER)).await;
                }
                if self.context.shutdown.hand_back.is_cancelled() {
                    return self.finish(in_hand, Ending::handed_back()).await;
                }
                if attempt <= self.context.options.retry.max_attempts {
                    let worker = self.clone();
                    let traceparent = in_hand.message.as_ref().and_then(|message| message.traceparent.clone());
                    let order = Order { traceparent, ..order };
                    in_hand.waiting = None;
                    self.context.calls.spawn(async move { worker.fulfil(in_hand, order).await });
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
            Begun::Locked => {
                let why = "another transaction has locked the order's row";
                Ending::unspent(RetryReason::RowLocked, retry::jittered(LOCKED_PAUSE), why)
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
    async fn fulfil(&self, in_hand: InHand, mut order: Order) {
        let began = Instant::now();
        let span = in_hand.span.call();
        order.traceparent = span.traceparent().or(order.traceparent);
        let under_way = self.context.observers.under_way(Dependency::Fulfiller);
        // An answer that is there counts, whatever else has happened by then.
        let called = tokio::select! {
            biased;
            called = self.context.call_fulfiller(&order) => called,
            () = in_hand.hold.row_lost() => Called::broken_off(lease_lost()),
            () = self.context.shutdown.hand_back.cancelled() => Called::broken_off(self.context.broken_off_by_drain()),
        };
        drop(under_way);
        let Called { outcome, ending } = called;
        let failed = !matches!(outcome, CallOutcome::Fulfilled | CallOutcome::InProgress);
        span.end(trace::SpanOutcome { name: outcome.as_str(), reason: ending.reason(), failed });
        self.context.report_call(in_hand.subject(), outcome, began.elapsed(), &ending);
        self.finish(in_hand, ending).await;
    }

    async fn finish(&self, mut in_hand: InHand, ending: Ending) {
        in_hand.waiting.get_or_insert_with(|| self.context.pressure.wait());
        let fence = in_hand.hold.release_row().await;
        // Without its row nothing can be concluded, however the call ended: the message must not be acknowledged.
        let ending = if fence.is_none() && in_hand.hold.has_lost_row() { lease_lost() } else { ending };
        // Fails only when the completer is gone, which is after the drain: leases bring the order back.
        let _ = self.finished.send(Finished { in_hand, fence, ending, maybe_applied: false }).await;
    }
}

/// A call that has ended, and what that makes of its order.
struct Called {
    outcome: CallOutcome,
    ending: Ending,
}

impl Called {
    fn broken_off(ending: Ending) -> Self {
        Self { outcome: CallOutcome::BrokenOff, ending }
    }
}

fn lease_lost() -> Ending {
    Ending::unspent(RetryReason::LeaseLost, *BUSY.end(), "the row's lease was lost")
}

/// Nobody knows whether the call was carried out, and it must not be made twice.
fn parked(detail: &str) -> Ending {
    Ending::Dead { reason: DeadReason::Ambiguous, detail: detail.to_owned() }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the fulfiller panicked: {}", text.unwrap_or("without a message"))
}

impl Context {
    /// The call within its time limit, with its panics caught.
    async fn call_fulfiller(&self, order: &Order) -> Called {
        let key = if is_mutant!(KeyPerAttempt) {
            IdempotencyKey::of(order.id, Some(order.attempt.into()))
        } else {
            order.idempotency_key()
        };
        let limit = self.options.call_timeout;
        let call = AssertUnwindSafe(self.fulfiller.fulfil(order, &key)).catch_unwind();
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(outcome)) => self.judge(order.attempt, outcome),
            Ok(Err(panic)) => {
                let error = panic_message(&*panic);
                self.ambiguous(order.attempt, RetryReason::FulfillerPanicked, &error, None)
            }
            Err(_) => {
                let error = format!("no answer from the fulfiller within {limit:?}");
                self.ambiguous(order.attempt, RetryReason::FulfillerTimeout, &error, None)
            }
        }
    }

    fn judge(&self, attempt: u32, outcome: Outcome) -> Called {
        match outcome {
            Outcome::Fulfilled { reference } => {
                Called { outcome: CallOutcome::Fulfilled, ending: Ending::Fulfilled { reference } }
            }
            Outcome::Rejected { reason: detail } => {
                let ending = Ending::Dead { reason: DeadReason::Rejected, detail };
                Called { outcome: CallOutcome::Rejected, ending }
            }
            Outcome::Retry { reason, after } => {
                let dead = DeadReason::AttemptsExhausted;
                let ending = self.failed(attempt, RetryReason::FulfillerFailed, reason, dead, after);
                Called { outcome: CallOutcome::Failed, ending }
            }
            Outcome::Unavailable { reason, after } => {
                let ending = self.unspent(attempt, RetryReason::FulfillerUnavailable, &reason, after);
                Called { outcome: CallOutcome::Unavailable, ending }
            }
            Outcome::InProgress { reason, .. } if self.parks_ambiguous() => {
                Called { outcome: CallOutcome::InProgress, ending: parked(&reason) }
            }
            Outcome::InProgress { reason, after } => {
                let ending = self.unspent(attempt, RetryReason::FulfillerInProgress, &reason, after);
                Called { outcome: CallOutcome::InProgress, ending }
            }
            Outcome::Ambiguous { reason, after, spent: false } if !self.parks_ambiguous() => {
                let error = format!("ambiguous: {reason}");
                let ending = self.unspent(attempt, RetryReason::FulfillerUnavailable, &error, after);
                Called { outcome: CallOutcome::Ambiguous, ending }
            }
            Outcome::Ambiguous { reason, after, .. } => {
                self.ambiguous(attempt, RetryReason::FulfillerAmbiguous, &reason, after)
            }
        }
    }

    fn ambiguous(&self, attempt: u32, reason: RetryReason, error: &str, asked: Option<Duration>) -> Called {
        let error = format!("ambiguous: {error}");
        let ending = if self.parks_ambiguous() {
            parked(&error)
        } else {
            self.failed(attempt, reason, error, DeadReason::AttemptsExhausted, asked)
        };
        Called { outcome: CallOutcome::Ambiguous, ending }
    }

    /// The call was under way, and the fulfiller may have done its work.
    fn broken_off_by_drain(&self) -> Ending {
        if self.parks_ambiguous() { parked("ambiguous: broken off by shutdown") } else { Ending::handed_back() }
    }

    fn parks_ambiguous(&self) -> bool {
        self.options.retry.when_ambiguous == WhenAmbiguous::Park
    }

    fn report_call(&self, subject: Subject<'_>, outcome: CallOutcome, took: Duration, ending: &Ending) {
        let detail = match ending {
            Ending::Fulfilled { reference } => reference.as_deref(),
            other => other.reason().map(|(_, words)| words),
        };
        self.observers.emit(Event::CallEnded { subject, outcome, took, detail });
    }

    /// Back to the queue without an attempt spent.
    fn unspent(&self, attempt: u32, reason: RetryReason, why: &str, asked: Option<Duration>) -> Ending {
        let after = retry::jittered(self.options.retry.ceiling(attempt));
        Ending::unspent(reason, not_before(after, asked), why)
    }

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
            Some(after) => Ending::Retry { reason, error, after: not_before(after, asked), spent: true },
            None => Ending::Dead { reason: dead, detail: format!("attempt {attempt}, the last one: {error}") },
        }
    }
}

/// The policy's delay, or the one that the fulfiller asked for where that is longer.
fn not_before(after: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(after, |asked| asked.min(AFTER_LIMIT).max(after))
}
