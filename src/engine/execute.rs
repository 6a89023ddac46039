//! Begins the orders of a batch, calls the fulfiller for each, and hands them on to the completer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::{FutureExt, poll};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::coop::{consume_budget, unconstrained};

use super::backends::Backends;
use super::decision::{Answer, AttemptOutcome, CallResult, Next, Unplaced, after_begin, after_call, without_place};
use super::delivery::{Completed, Delivery};
use super::options::Shutdown;
use super::places::Place;
use super::watermark::Watermark;
use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::domain::message::Poison;
use crate::domain::order::{IdempotencyKey, Order, OrderId};
use crate::domain::retry::RetryPolicy;
use crate::event::{CallOutcome, Dependency, FulfillerEvent, OrderEvent, RowStage, Stage};
use crate::observe::trace::attempt as trace;
use crate::port::fulfiller::{Fulfiller, Outcome};
use crate::port::store::{BeginRequest, Begun, NotBefore};
use crate::testing::mutant::is_mutant;
use crate::testing::strikes;

/// The longest wait for a place of an order that was claimed ahead, when calls turn out to be longer than those before:
/// then whoever has a place free may have it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shared by every batch and every call.
pub(crate) struct Executor {
    pub(crate) backends: Backends,
    pub(crate) fulfiller: Arc<dyn Fulfiller>,
    pub(crate) policy: RetryPolicy,
    pub(crate) call_timeout: Duration,
    pub(crate) shutdown: Shutdown,
    /// The runtime for calls: one that blocks its thread must not hold up claims, commits or lease renewals.
    pub(crate) calls: Handle,
    pub(crate) watermark: Arc<Watermark>,
    pub(crate) completer: mpsc::Sender<Completed>,
}

#[expect(clippy::vec_box, reason = "each delivery is handed on by itself")]
impl Executor {
    /// Begins a batch in a task of its own, which drops `slot` when all of its calls have started.
    pub(crate) fn start(self: &Arc<Self>, batch: Vec<Box<Delivery>>, slot: OwnedSemaphorePermit) {
        let executor = Arc::clone(self);
        tokio::spawn(async move {
            executor.begin(batch).await;
            drop(slot);
        });
    }

    async fn begin(self: &Arc<Self>, batch: Vec<Box<Delivery>>) {
        let (deliveries, invalid): (Vec<_>, Vec<_>) = batch.into_iter().partition(|delivery| delivery.message.is_ok());
        for delivery in invalid {
            let detail = delivery.message.as_ref().err().map(Poison::to_string).unwrap_or_default();
            self.complete(delivery, AttemptOutcome::DeadLetter { reason: DeadReason::InvalidMessage, detail }).await;
        }
        let requests: Vec<BeginRequest> = deliveries.iter().filter_map(|delivery| delivery.begin_request()).collect();
        if requests.is_empty() {
            return;
        }
        let (began, items, store) = (SystemTime::now(), requests.len(), &self.backends.store);
        // Until hand-back, not drain: orders in flight are finished if time allows.
        let until = &self.shutdown.hand_back;
        let times: Vec<NotBefore> = deliveries.iter().filter_map(|delivery| delivery.not_before()).collect();
        let begin = async |_| {
            if !times.is_empty() {
                store.note_not_before(&times).await?;
            }
            store.begin(&requests).await
        };
        let begun = self.backends.until_answered(Stage::Begin, items, until, begin).await;
        let Some(answers) = begun else {
            for delivery in deliveries {
                self.complete(delivery, AttemptOutcome::handed_back()).await;
            }
            return;
        };
        let locked = answers.iter().zip(&requests).filter(|(answer, _)| **answer == Begun::Locked);
        let locked: Vec<OrderId> = locked.map(|(_, request)| request.order_id).collect();
        self.backends.report_locked(RowStage::Begin, &locked);
        let mut calls = Vec::with_capacity(items);
        for (delivery, begun) in deliveries.into_iter().zip(answers) {
            delivery.span.step("begin", began, items);
            calls.extend(self.follow_begin(delivery, begun).await);
        }
        self.start_calls(calls);
    }

    /// Returns the call that is to be made, if any.
    async fn follow_begin(&self, mut delivery: Box<Delivery>, begun: Begun) -> Option<(Box<Delivery>, Order)> {
        if let Begun::Started { order, fence, takeover, waited } = &begun {
            self.watermark.raise(order.created_at_micros);
            delivery.created_at_micros = order.created_at_micros;
            delivery.lease.keep_row(*fence).await;
            let (attempt, takeover, waited) = (delivery.attempt_ref(), *takeover, *waited);
            self.backends.observers.emit(OrderEvent::AttemptStarted { attempt, takeover, waited });
        }
        match after_begin(begun, delivery.attempt(), self.shutdown.hand_back.is_cancelled(), &self.policy) {
            Next::Call(order) => {
                let traceparent = delivery.message.as_ref().ok().and_then(|message| message.traceparent.clone());
                let order = Order { traceparent, ..order };
                delivery.waiting = None;
                Some((delivery, order))
            }
            Next::End(outcome) => {
                self.complete(delivery, outcome).await;
                None
            }
        }
    }

    /// Starts the calls of a batch. One task for each thread takes them one by one, so that a call which blocks its thread
    /// leaves the rest to the others. That is for calls which end at once, and cost less than a task of their own would;
    /// the first one that doesn't gets one, and so does whatever comes after it.
    fn start_calls(self: &Arc<Self>, calls: Vec<(Box<Delivery>, Order)>) {
        let tasks = self.calls.metrics().num_workers().min(calls.len());
        let calls = Arc::new(Mutex::new(calls.into_iter()));
        for _ in 0..tasks {
            let (executor, calls) = (Arc::clone(self), Arc::clone(&calls));
            self.calls.spawn(async move {
                let mut at_once = true;
                while let Some((delivery, order)) = next_of(&calls) {
                    let executor = Arc::clone(&executor);
                    let call = async move { executor.call(delivery, order).await };
                    // A panic ends its own call alone, wherever it comes from.
                    let mut call = AssertUnwindSafe(call).catch_unwind().boxed();
                    at_once = at_once && poll!(unconstrained(call.as_mut())).is_ready();
                    if !at_once {
                        tokio::spawn(call);
                    }
                    consume_budget().await;
                }
            });
        }
    }

    /// One call to the fulfiller, from start to finish. Waits for its place first, if the order was claimed ahead.
    async fn call(&self, mut delivery: Box<Delivery>, mut order: Order) {
        if let Some(outcome) = self.passed_over(&mut delivery).await {
            return self.complete(delivery, outcome).await;
        }
        let began = Instant::now();
        let span = delivery.span.call();
        order.traceparent = span.traceparent().or(order.traceparent);
        let under_way = self.backends.observers.under_way(Dependency::Fulfiller);
        // Biased: an answer that is there counts, whatever else has happened by then.
        let answer = tokio::select! {
            biased;
            answer = self.answer(&order) => answer,
            () = delivery.lease.row_lost() => Answer::LeaseLost,
            () = self.shutdown.hand_back.cancelled() => Answer::BrokenOff,
        };
        drop(under_way);
        let reference = reference_in(&answer);
        let result = after_call(answer, order.attempt, &self.policy);
        delivery.call = Some((result.call, reference));
        self.report_call(&delivery, span, &result, began.elapsed());
        self.complete(delivery, result.attempt).await;
    }

    /// Waits for the delivery's turn. If that doesn't come, says how the attempt ends.
    async fn passed_over(&self, delivery: &mut Delivery) -> Option<AttemptOutcome> {
        let why = tokio::select! {
            biased;
            came = turn(&mut delivery.place) => if came { return None } else { Unplaced::TooLong },
            () = delivery.lease.row_lost() => Unplaced::LeaseLost,
            () = self.shutdown.drain.cancelled() => Unplaced::Draining,
            () = tokio::time::sleep(PATIENCE) => Unplaced::TooLong,
        };
        Some(without_place(why))
    }

    /// Calls within the time limit, and catches panics.
    async fn answer(&self, order: &Order) -> Answer {
        let key = if is_mutant!(KeyPerAttempt) {
            IdempotencyKey::of(order.id, Some(order.attempt.into()))
        } else {
            order.idempotency_key()
        };
        let call = AssertUnwindSafe(self.fulfiller.fulfil(order, &key)).catch_unwind();
        match tokio::time::timeout(self.call_timeout, call).await {
            Ok(Ok(outcome)) => Answer::Outcome(outcome),
            Ok(Err(panic)) => Answer::Panicked(panic_message(&*panic)),
            Err(_) => Answer::TimedOut(self.call_timeout),
        }
    }

    fn report_call(&self, delivery: &Delivery, span: trace::CallSpan, result: &CallResult, took: Duration) {
        let CallResult { call, attempt } = result;
        let failed = !matches!(call, CallOutcome::Fulfilled | CallOutcome::InProgress);
        span.end(trace::SpanOutcome { name: call.as_str(), reason: attempt.reason(), failed });
        let detail = match attempt {
            AttemptOutcome::Fulfilled { reference } => reference.as_deref(),
            other => other.reason().map(|(_, words)| words),
        };
        let attempt = delivery.attempt_ref();
        self.backends.observers.emit(FulfillerEvent::CallEnded { attempt, outcome: *call, took, detail });
    }

    /// Hands a delivery whose attempt has ended on to the completer.
    async fn complete(&self, mut delivery: Box<Delivery>, outcome: AttemptOutcome) {
        let outcome = if end_call(&mut delivery.place).await { outcome } else { AttemptOutcome::handed_back() };
        delivery.waiting.get_or_insert_with(|| self.backends.backpressure.wait());
        let fence = delivery.lease.release_row().await;
        // Without its row nothing can be concluded, however the call ended: the message must not be acknowledged.
        let completed = match (fence, delivery.lease.lost_fence()) {
            (None, Some(lost)) => Completed::lost(delivery, lost),
            (fence, _) => Completed::new(delivery, outcome, fence),
        };
        // Fails only when the completer is gone, which is after the drain: leases bring the order back.
        let _ = self.completer.send(completed).await;
    }
}

/// Waits for a turn, and says whether it came. Only a failpoint says no.
async fn turn(place: &mut Place) -> bool {
    let waits = place.must_wait();
    if waits && strikes!(Before, Turn) {
        return false;
    }
    place.turn().await;
    !(waits && strikes!(After, Turn))
}

/// Ends the call of a place, and says whether its outcome counts. Only a failpoint says no.
async fn end_call(place: &mut Place) -> bool {
    let was_called = place.has_turn();
    let fails = was_called && strikes!(Before, Keep);
    place.end();
    let fails = fails || (was_called && place.is_kept() && strikes!(After, Keep));
    !fails
}

fn reference_in(answer: &Answer) -> Option<String> {
    if let Answer::Outcome(Outcome::Fulfilled { reference }) = answer { reference.clone() } else { None }
}

/// Without holding the lock while the call is made.
fn next_of<T>(calls: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    calls.lock().next()
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}
