//! A message in our hands, from its claim to its settlement, and how that can end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use crate::domain::label::Label;
use crate::domain::message::Message;
use crate::domain::order::{Fence, OrderId};
use crate::engine::backpressure::Waiting;
use crate::engine::lease_keeper::Hold;
use crate::event::{AttemptRef, RetryReason};
use crate::observe::trace::attempt::AttemptSpan;
use crate::port::queue::{Claim, Disposition, Receipt};
use crate::port::store::{Conclusion, DeadLetter, DeadReason, Target};

/// The longest detail that a dead letter keeps, in characters.
const MAX_DETAIL_CHARS: usize = 1_000;

/// A claimed message. Its lease is kept and its place in flight is taken for as long as this exists.
pub(crate) struct InHand {
    pub(crate) claim: Claim,
    /// `None` for poison.
    pub(crate) message: Option<Message>,
    pub(crate) claimed_at: Instant,
    pub(crate) hold: Arc<Hold>,
    pub(crate) span: AttemptSpan,
    /// While it waits for a backend, and not while the fulfiller has it.
    pub(crate) waiting: Option<Waiting>,
    /// Given back when this is dropped, which lets the next order in.
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl InHand {
    pub(crate) fn order_id(&self) -> Option<OrderId> {
        self.message.as_ref().map(Message::order_id)
    }

    pub(crate) fn receipt(&self) -> &Receipt {
        &self.claim.receipt
    }

    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.message.as_ref()?.correlation_id.as_deref()
    }

    pub(crate) fn attempt_ref(&self) -> AttemptRef<'_> {
        AttemptRef {
            order_id: self.order_id(),
            correlation_id: self.correlation_id(),
            number: self.claim.attempt,
            trace: self.span.context(),
        }
    }

    pub(crate) fn dead_letter(&self, reason: DeadReason, detail: &str) -> DeadLetter {
        DeadLetter {
            claim_id: self.claim.receipt.claim_id.clone(),
            order_id: self.order_id(),
            payload: self.claim.payload.clone(),
            reason,
            // Postgres text can't hold NUL, and a fulfiller's words are not ours.
            detail: detail.chars().filter(|character| *character != '\0').take(MAX_DETAIL_CHARS).collect(),
            attempts: self.claim.attempt,
        }
    }
}

/// How an attempt, or a look at a message, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Fulfilled { reference: Option<String> },
    Retry { reason: RetryReason, error: String, after: Duration, spent: bool },
    Dead { reason: DeadReason, detail: String },
    AlreadyFinal,
    Skipped { status: String },
}

impl Ending {
    /// Given back without an attempt spent, to be claimed by anyone at once.
    pub(crate) fn handed_back() -> Self {
        Self::unspent(RetryReason::HandedBack, Duration::ZERO, "handed back at shutdown")
    }

    pub(crate) fn unspent(reason: RetryReason, after: Duration, why: &str) -> Self {
        Self::Retry { reason, error: why.to_owned(), after, spent: false }
    }

    /// As in the attempt's span.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Fulfilled { .. } => "fulfilled",
            Self::Retry { .. } => "retried",
            Self::Dead { .. } => "dead_lettered",
            Self::AlreadyFinal => "already_final",
            Self::Skipped { .. } => "skipped",
        }
    }

    /// Why the order was not fulfilled: as in labels, and in words.
    pub(crate) fn reason(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Retry { reason, error, .. } => Some((reason.as_str(), error)),
            Self::Dead { reason, detail } => Some((reason.as_str(), detail)),
            Self::Fulfilled { .. } | Self::AlreadyFinal | Self::Skipped { .. } => None,
        }
    }

    /// Whether the attempt failed, whatever becomes of the order.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Dead { .. } | Self::Retry { spent: true, .. })
    }

    pub(crate) fn disposition(&self) -> Disposition {
        match self {
            Self::Retry { after, spent, .. } => Disposition::Retry { after: *after, spent: *spent },
            Self::Fulfilled { .. } | Self::Dead { .. } | Self::AlreadyFinal | Self::Skipped { .. } => Disposition::Ack,
        }
    }
}

/// A message on its way to the completer.
pub(crate) struct Finished {
    pub(crate) in_hand: InHand,
    /// The fence held, if the order's row is ours.
    pub(crate) fence: Option<Fence>,
    pub(crate) ending: Ending,
    /// See [`Conclusion::maybe_applied`].
    pub(crate) maybe_applied: bool,
}

impl Finished {
    /// What the store has to write, if the row is ours. `None` when there is nothing to write on it.
    pub(crate) fn conclusion(&self) -> Option<Conclusion> {
        let to = match &self.ending {
            Ending::Fulfilled { reference } => Target::Fulfilled { reference: reference.clone() },
            Ending::Retry { error, .. } => Target::Pending { reason: error.clone() },
            Ending::Dead { reason, detail } => Target::Failed(self.in_hand.dead_letter(*reason, detail)),
            Ending::AlreadyFinal | Ending::Skipped { .. } => return None,
        };
        Some(Conclusion {
            order_id: self.in_hand.order_id()?,
            fence: self.fence?,
            attempt: self.in_hand.claim.attempt,
            correlation_id: self.in_hand.correlation_id().map(str::to_owned),
            to,
            maybe_applied: self.maybe_applied,
        })
    }
}
