//! Decides what each step of an attempt makes of its order. Pure: no clock, no randomness, no I/O.
//!
//! `claim → begin →` [`after_begin`] `→ call →` [`after_call`] `→ conclude →` [`after_verdict`] `→ settle`. The model of
//! the protocol (docs/MODEL.md) calls the same three functions.

use std::time::Duration;

use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::domain::order::{IdempotencyKey, Order, State};
use crate::domain::retry::{RetryPolicy, WhenAmbiguous, jittered};
use crate::event::{CallOutcome, RetryReason};
use crate::port::fulfiller::Outcome;
use crate::port::store::{Begun, TAKEN_OVER, Verdict};

/// How soon a message is looked at again while another worker holds its order: no tight loop, and not much too late.
const BUSY: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(2);

/// The longest delay before a message is looked at again whose order's row was locked when the attempt began. A look
/// costs no attempt, and a migration may lock thousands of rows.
const ROW_LOCKED: Duration = Duration::from_secs(1);

/// The longest delay before a message is looked at again whose order is held. Who releases an order pushes another message; this is
/// for when that one is lost. Short enough for that, and long enough for many thousands of held orders to be no load.
const HELD: Duration = Duration::from_secs(300);

/// How long a superseded order is left to its new holder before its message is looked at again.
const SUPERSEDED: Duration = Duration::from_secs(1);

/// The longest delay that a fulfiller can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3_600);

/// What follows a begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The fulfiller is called for the order.
    Call(Order),
    /// The attempt ends without a call.
    End(AttemptOutcome),
}

/// How a call to the fulfiller came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The fulfiller answered.
    Outcome(Outcome),
    /// It panicked with this message.
    Panicked(String),
    /// It gave no answer within this limit.
    TimedOut(Duration),
    /// The worker broke the call off, as the row's lease was lost.
    LeaseLost,
    /// The worker broke the call off, as a drain took too long.
    BrokenOff,
}

/// What a call makes of its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallResult {
    /// How the call ended.
    pub call: CallOutcome,
    /// How the attempt ends with it, unless the row has moved on.
    pub attempt: AttemptOutcome,
}

/// What is known of an attempt that comes to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which one, from 1.
    pub number: u32,
    /// The order's idempotency key, as its row had it when the attempt began.
    pub key: IdempotencyKey,
    /// How the call ended, if one was made.
    pub call: Option<CallOutcome>,
    /// The fulfiller's own name for what it did.
    pub reference: Option<String>,
}

/// Why an order that waits for the place of its call gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplaced {
    /// The row's lease was lost.
    LeaseLost,
    /// A drain has begun.
    Draining,
    /// It was claimed ahead, and the calls before it turned out to be longer than those before them.
    TooLong,
}

/// How an attempt ends. The texts name it in the attempt's span.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum AttemptOutcome {
    /// The order is done.
    Fulfilled {
        /// The fulfiller's own name for what it did.
        reference: Option<String>,
    },
    /// The order goes back to `pending`, and its message to the queue.
    #[strum(serialize = "retried")]
    Retry {
        /// Why, as in labels.
        reason: RetryReason,
        /// Why, for a person.
        error: String,
        /// When the message is delivered again.
        delay: Delay,
        /// Whether an attempt is used up.
        spent: bool,
    },
    /// The order is given up.
    #[strum(serialize = "dead_lettered")]
    DeadLetter {
        /// Why, as in labels.
        reason: DeadReason,
        /// Why, for a person.
        detail: String,
    },
    /// The order was `fulfilled` or `failed` before.
    AlreadyFinal,
    /// The order's status belongs to somebody else.
    Skipped {
        /// That status.
        status: String,
    },
}

/// How long a message waits for its next delivery: any time up to `ceiling`, each equally likely, but `at_least` this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The retry policy's upper bound.
    pub ceiling: Duration,
    /// Which time is fixed, or was asked for by the fulfiller.
    pub at_least: Duration,
}

impl Delay {
    fn exactly(delay: Duration) -> Self {
        Self { ceiling: Duration::ZERO, at_least: delay }
    }

    fn up_to(ceiling: Duration) -> Self {
        Self { ceiling, at_least: Duration::ZERO }
    }

    fn not_before(self, asked: Option<Duration>) -> Self {
        Self { at_least: asked.unwrap_or_default().min(LONGEST_ASKED), ..self }
    }

    /// Draws one.
    pub fn draw(self) -> Duration {
        jittered(self.ceiling).max(self.at_least)
    }
}

/// Decides what follows attempt number `attempt` of an order whose row answered `begun`. `handing_back` says whether
/// a drain has stopped calls already.
pub fn after_begin(begun: Begun, attempt: u32, handing_back: bool, policy: &RetryPolicy) -> Next {
    let end = match begun {
        // First of all: if the order were handed back, the next worker would not know of the takeover.
        Begun::Started { takeover: true, .. } if parks(policy) => parked(TAKEN_OVER),
        Begun::Started { .. } if handing_back => AttemptOutcome::handed_back(),
        Begun::Started { order, .. } if attempt <= policy.max_attempts => return Next::Call(order),
        // Attempts are counted at the claim: all of them began, and none came to an end.
        Begun::Started { .. } => AttemptOutcome::DeadLetter {
            reason: DeadReason::AttemptsExhausted,
            detail: format!("{} attempts began and their workers died or lost it", attempt - 1),
        },
        Begun::AlreadyFinal(_) => AttemptOutcome::AlreadyFinal,
        Begun::NotOurs(status) => AttemptOutcome::Skipped { status },
        Begun::Busy(remaining) => {
            let delay = Delay::exactly(remaining.clamp(*BUSY.start(), *BUSY.end()));
            AttemptOutcome::unspent(RetryReason::Busy, delay, "another worker holds the order")
        }
        Begun::Locked => {
            let why = "another transaction has locked the order's row";
            AttemptOutcome::unspent(RetryReason::RowLocked, Delay::up_to(ROW_LOCKED), why)
        }
        Begun::Held(left) => {
            let delay = Delay::exactly(left.unwrap_or(HELD).min(HELD));
            AttemptOutcome::unspent(RetryReason::Held, delay, "the order is held")
        }
        Begun::Unknown => {
            let error = "no such order in the table".to_owned();
            failed(attempt, RetryReason::UnknownOrder, error, DeadReason::UnknownOrder, None, policy)
        }
        Begun::Refused(error) => refused(attempt, error, policy),
    };
    Next::End(end)
}

/// Decides what becomes of an order that waited for the place of its call in vain. Nothing was sent, so that nothing is
/// ambiguous and no attempt is spent; whoever has a place free may have it at once.
pub fn without_place(why: Unplaced) -> AttemptOutcome {
    match why {
        Unplaced::LeaseLost => AttemptOutcome::lease_lost(),
        Unplaced::Draining => AttemptOutcome::handed_back(),
        Unplaced::TooLong => {
            let error = "claimed ahead, and no call ended in time to make room for its own";
            AttemptOutcome::unspent(RetryReason::NoPlace, Delay::exactly(Duration::ZERO), error)
        }
    }
}

/// Decides what the answer to a call makes of its order.
pub fn after_call(answer: Answer, attempt: u32, policy: &RetryPolicy) -> CallResult {
    let ambiguous = |reason, error: String, asked| {
        let error = format!("ambiguous: {error}");
        let attempt = if parks(policy) {
            parked(&error)
        } else {
            failed(attempt, reason, error, DeadReason::AttemptsExhausted, asked, policy)
        };
        CallResult { call: CallOutcome::Ambiguous, attempt }
    };
    match answer {
        Answer::Outcome(Outcome::Ambiguous { reason, after, spent }) if spent || parks(policy) => {
            ambiguous(RetryReason::FulfillerAmbiguous, reason, after)
        }
        Answer::Outcome(outcome) => after_outcome(outcome, attempt, policy),
        Answer::Panicked(message) => {
            ambiguous(RetryReason::FulfillerPanicked, format!("the fulfiller panicked: {message}"), None)
        }
        Answer::TimedOut(limit) => {
            ambiguous(RetryReason::FulfillerTimeout, format!("no answer from the fulfiller within {limit:?}"), None)
        }
        Answer::LeaseLost => CallResult { call: CallOutcome::BrokenOff, attempt: AttemptOutcome::lease_lost() },
        // The fulfiller may have done its work.
        Answer::BrokenOff if parks(policy) => {
            CallResult { call: CallOutcome::BrokenOff, attempt: parked("ambiguous: broken off by shutdown") }
        }
        Answer::BrokenOff => CallResult { call: CallOutcome::BrokenOff, attempt: AttemptOutcome::handed_back() },
    }
}

/// An answer of the fulfiller's own. One that is ambiguous comes here if it uses up no attempt.
fn after_outcome(outcome: Outcome, attempt: u32, policy: &RetryPolicy) -> CallResult {
    let unspent = |reason, error: &str, asked| {
        AttemptOutcome::unspent(reason, Delay::up_to(policy.ceiling(attempt)).not_before(asked), error)
    };
    let (call, attempt) = match outcome {
        Outcome::Fulfilled { reference } => (CallOutcome::Fulfilled, AttemptOutcome::Fulfilled { reference }),
        Outcome::Rejected { reason: detail } => {
            (CallOutcome::Rejected, AttemptOutcome::DeadLetter { reason: DeadReason::Rejected, detail })
        }
        Outcome::Retry { reason: error, after } => {
            let (reason, dead) = (RetryReason::FulfillerFailed, DeadReason::AttemptsExhausted);
            (CallOutcome::Failed, failed(attempt, reason, error, dead, after, policy))
        }
        Outcome::Unavailable { reason: error, after } => {
            (CallOutcome::Unavailable, unspent(RetryReason::FulfillerUnavailable, &error, after))
        }
        Outcome::InProgress { reason, .. } if parks(policy) => (CallOutcome::InProgress, parked(&reason)),
        Outcome::InProgress { reason: error, after } => {
            (CallOutcome::InProgress, unspent(RetryReason::FulfillerInProgress, &error, after))
        }
        Outcome::Ambiguous { reason, after, .. } => {
            let error = format!("ambiguous: {reason}");
            (CallOutcome::Ambiguous, unspent(RetryReason::FulfillerUnavailable, &error, after))
        }
    };
    CallResult { call, attempt }
}

/// Decides what the store's verdict on a conclusion makes of the outcome that was `intended`. One that met a locked row
/// has not come to its end and stays as it is.
///
/// A row that was begun can't be about to appear: if it is gone, whatever the call came to, the message is given up with all that
/// is known, as it may be the last trace of an order, and of what was shipped for it.
pub fn after_verdict(
    verdict: &Verdict,
    intended: AttemptOutcome,
    attempt: &Attempt,
    policy: &RetryPolicy,
) -> AttemptOutcome {
    match verdict {
        Verdict::Done { .. } | Verdict::Locked => intended,
        Verdict::Superseded(None) => row_gone(&intended, attempt),
        Verdict::Superseded(state) if state.as_ref().is_some_and(State::is_final) => AttemptOutcome::AlreadyFinal,
        Verdict::Superseded(_) => {
            AttemptOutcome::unspent(RetryReason::LeaseLost, Delay::exactly(SUPERSEDED), "the row had moved on")
        }
        Verdict::Refused(error) => refused(attempt.number, error.clone(), policy),
    }
}

/// Key and reference stand in quotes, so that letters of one kind have one fingerprint.
fn row_gone(intended: &AttemptOutcome, attempt: &Attempt) -> AttemptOutcome {
    let done = match attempt.call {
        Some(CallOutcome::Fulfilled) => "fulfilled",
        Some(CallOutcome::Ambiguous | CallOutcome::InProgress | CallOutcome::BrokenOff) => "perhaps fulfilled",
        // Whoever had the order before may have had it fulfilled.
        Some(_) | None => "not fulfilled by this attempt",
    };
    let reference = attempt.reference.as_ref().map(|name| format!(", reference \"{name}\"")).unwrap_or_default();
    let why = intended.reason().map(|(_, words)| format!("; {words}")).unwrap_or_default();
    let detail = format!("{done}, and the order's row is gone: idempotency key \"{}\"{reference}{why}", attempt.key);
    AttemptOutcome::DeadLetter { reason: DeadReason::RowGone, detail }
}

impl AttemptOutcome {
    /// The message goes back to the queue, and any worker may claim it at once. No attempt is spent.
    pub(crate) fn handed_back() -> Self {
        Self::unspent(RetryReason::HandedBack, Delay::exactly(Duration::ZERO), "handed back at shutdown")
    }

    /// The row belongs to another worker by now. No attempt is spent.
    pub(crate) fn lease_lost() -> Self {
        Self::unspent(RetryReason::LeaseLost, Delay::exactly(*BUSY.end()), "the row's lease was lost")
    }

    fn unspent(reason: RetryReason, delay: Delay, error: &str) -> Self {
        Self::Retry { reason, error: error.to_owned(), delay, spent: false }
    }

    /// Why the order was not fulfilled: as in labels, and in words.
    pub(crate) fn reason(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Retry { reason, error, .. } => Some((reason.as_str(), error)),
            Self::DeadLetter { reason, detail } => Some((reason.as_str(), detail)),
            Self::Fulfilled { .. } | Self::AlreadyFinal | Self::Skipped { .. } => None,
        }
    }

    /// Whether the attempt failed, whatever becomes of the order.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::DeadLetter { .. } | Self::Retry { spent: true, .. })
    }
}

fn parks(policy: &RetryPolicy) -> bool {
    policy.when_ambiguous == WhenAmbiguous::Park
}

/// Nobody knows whether the call was carried out, and it must not be made twice.
fn parked(detail: &str) -> AttemptOutcome {
    AttemptOutcome::DeadLetter { reason: DeadReason::Ambiguous, detail: detail.to_owned() }
}

fn refused(attempt: u32, error: String, policy: &RetryPolicy) -> AttemptOutcome {
    failed(attempt, RetryReason::StoreRefused, error, DeadReason::StoreRefused, None, policy)
}

/// Another attempt, or the dead letters after the last one.
fn failed(
    attempt: u32,
    reason: RetryReason,
    error: String,
    dead: DeadReason,
    asked: Option<Duration>,
    policy: &RetryPolicy,
) -> AttemptOutcome {
    if attempt < policy.max_attempts {
        let delay = Delay::up_to(policy.ceiling(attempt)).not_before(asked);
        AttemptOutcome::Retry { reason, error, delay, spent: true }
    } else {
        AttemptOutcome::DeadLetter { reason: dead, detail: format!("attempt {attempt}, the last one: {error}") }
    }
}

#[cfg(test)]
mod tests;
