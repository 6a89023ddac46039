//! One delivery of a message, from its claim to its settlement.

use std::sync::Arc;
use std::time::Instant;

use super::backpressure::Waiting;
use super::decision::{Attempt, AttemptOutcome};
use super::lease_keeper::LeaseGuard;
use super::places::Place;
use crate::domain::dead_letter::DeadReason;
use crate::domain::message::{Message, Poison};
use crate::domain::order::{Fence, IdempotencyKey, OrderId, State};
use crate::domain::text::truncate_detail;
use crate::event::{AttemptRef, CallOutcome, CancelledFrom};
use crate::observe::trace::attempt::AttemptSpan;
use crate::port::queue::{Disposition, Receipt};
use crate::port::store::{BeginRequest, Conclusion, DeadLetter, NotBefore, Target, Verdict};

/// A claimed message, in a box, as it is handed on many times. While this exists, the message's lease is renewed and it counts as in flight.
pub(crate) struct Delivery {
    pub(crate) payload: Vec<u8>,
    pub(crate) attempt: u32,
    pub(crate) message: Result<Message, Poison>,
    pub(crate) claimed_at: Instant,
    pub(crate) lease: Arc<LeaseGuard>,
    pub(crate) span: AttemptSpan,
    /// The `created_at` of the order's row when the attempt began.
    pub(crate) created_at_micros: Option<i64>,
    /// How its call ended, and the fulfiller's reference.
    pub(crate) call: Option<(CallOutcome, Option<String>)>,
    /// Counts it as waiting for a backend; `None` while the fulfiller works on it.
    pub(crate) waiting: Option<Waiting>,
    /// Where it stands; lets the next order in when its call ends, at the latest when it is dropped.
    pub(crate) place: Place,
}

impl Delivery {
    pub(crate) fn order_id(&self) -> Option<OrderId> {
        self.message.as_ref().ok().map(Message::order_id)
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn receipt(&self) -> &Receipt {
        self.lease.receipt()
    }

    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.message.as_ref().ok()?.correlation_id.as_deref()
    }

    pub(crate) fn attempt_ref(&self) -> AttemptRef<'_> {
        AttemptRef {
            order_id: self.order_id(),
            correlation_id: self.correlation_id(),
            number: self.attempt(),
            trace: self.span.context(),
        }
    }

    /// `None` if the message is invalid.
    pub(crate) fn begin_request(&self) -> Option<BeginRequest> {
        let correlation_id = self.correlation_id().map(str::to_owned);
        Some(BeginRequest { order_id: self.order_id()?, attempt: self.attempt(), correlation_id })
    }

    /// The time that its message asks to wait for.
    pub(crate) fn not_before(&self) -> Option<NotBefore> {
        let message = self.message.as_ref().ok()?;
        Some(NotBefore { order_id: message.order_id(), at_micros: message.not_before_micros()? })
    }

    /// What is known of the attempt, if its message names an order.
    pub(crate) fn known(&self) -> Option<Attempt> {
        let key = IdempotencyKey::of(self.order_id()?, self.created_at_micros);
        let (call, reference) = self.call.clone().unzip();
        Some(Attempt { number: self.attempt(), key, call, reference: reference.flatten() })
    }

    fn dead_letter(&self, reason: DeadReason, detail: &str) -> DeadLetter {
        DeadLetter {
            claim_id: self.receipt().claim_id.clone(),
            order_id: self.order_id(),
            payload: self.payload.clone(),
            reason,
            detail: truncate_detail(detail),
            attempts: self.attempt(),
        }
    }
}

/// A delivery whose attempt has ended, on its way through the completer.
pub(crate) struct Completed {
    pub(crate) delivery: Box<Delivery>,
    pub(crate) outcome: AttemptOutcome,
    /// The fence held, if the order's row is ours; one that no row has any more, if it was lost.
    pub(crate) fence: Option<Fence>,
    /// The row's lease was lost: whatever the row shows, nothing is concluded, but that it is gone.
    pub(crate) lost: bool,
    /// See [`Conclusion::maybe_applied`].
    pub(crate) maybe_applied: bool,
    /// The store's answer, once the row was to be written.
    pub(crate) verdict: Option<Verdict>,
}

impl Completed {
    pub(crate) fn new(delivery: Box<Delivery>, outcome: AttemptOutcome, fence: Option<Fence>) -> Self {
        Self { delivery, outcome, fence, lost: false, maybe_applied: false, verdict: None }
    }

    /// Of a delivery whose row's lease was lost, when it had this fence. It concludes under an earlier one, which moves nothing
    /// and tells whether the row is gone: a row whose renewal the database refused still has the fence held, and its call may have
    /// been carried out. Back in `pending` nobody would know; left alone it is taken over.
    pub(crate) fn lost(delivery: Box<Delivery>, held: Fence) -> Self {
        let earlier = Fence(held.0.saturating_sub(1));
        Self { lost: true, ..Self::new(delivery, AttemptOutcome::lease_lost(), Some(earlier)) }
    }

    /// The transition that ends the attempt. `None` if the row isn't ours or stays as it is.
    pub(crate) fn conclusion(&self) -> Option<Conclusion> {
        let to = match &self.outcome {
            AttemptOutcome::Fulfilled { reference } => Target::Fulfilled { reference: reference.clone() },
            AttemptOutcome::Retry { error, .. } => Target::Pending { reason: error.clone() },
            AttemptOutcome::DeadLetter { reason, detail } => Target::Failed(self.delivery.dead_letter(*reason, detail)),
            AttemptOutcome::AlreadyFinal | AttemptOutcome::Skipped { .. } => return None,
        };
        Some(Conclusion {
            order_id: self.delivery.order_id()?,
            fence: self.fence?,
            attempt: self.delivery.attempt(),
            to,
            maybe_applied: self.maybe_applied,
            created_at_micros: self.delivery.created_at_micros,
        })
    }

    /// The dead letter that no conclusion has written.
    pub(crate) fn dead_letter_alone(&self) -> Option<DeadLetter> {
        match (&self.outcome, &self.verdict) {
            (_, Some(Verdict::Done { .. })) => None,
            (AttemptOutcome::DeadLetter { reason, detail }, _) => Some(self.delivery.dead_letter(*reason, detail)),
            _ => None,
        }
    }

    /// What becomes of the message. Draws the delay of a retry.
    pub(crate) fn disposition(&self) -> Disposition {
        match &self.outcome {
            AttemptOutcome::Retry { delay, spent, .. } => Disposition::Retry { after: delay.draw(), spent: *spent },
            AttemptOutcome::Fulfilled { .. }
            | AttemptOutcome::DeadLetter { .. }
            | AttemptOutcome::AlreadyFinal
            | AttemptOutcome::Skipped { .. } => Disposition::Ack,
        }
    }

    /// In which state an order was cancelled whose message is dropped for that.
    pub(crate) fn cancelled_from(&self) -> Option<CancelledFrom> {
        match (&self.outcome, &self.verdict) {
            (AttemptOutcome::Skipped { status }, _) if status == State::Cancelled.as_str() => {
                Some(CancelledFrom::Pending)
            }
            (_, Some(Verdict::Superseded(Some(State::Cancelled)))) => Some(CancelledFrom::Processing),
            _ => None,
        }
    }

    pub(crate) fn is_superseded(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Superseded(Some(_))))
    }
}
