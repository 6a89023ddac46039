//! Dead letters that a person works with: which ones, what is decided, and what comes of it.

use std::time::Duration;

use crate::domain::label::Label;
use crate::domain::order::{OrderId, State};
use crate::port::store::DeadReason;

/// Which dead letters. Everything that is set must hold; the default is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LetterFilter {
    /// Those with one of these ids.
    pub ids: Option<Vec<i64>>,
    /// Those with an id of at most this.
    pub up_to: Option<i64>,
    /// Those with one of these reasons; any reason if there is none here.
    pub reasons: Vec<DeadReason>,
    /// Those buried longer ago than this, by the database's clock.
    pub older_than: Option<Duration>,
    /// Those buried at most this long ago, by the database's clock.
    pub newer_than: Option<Duration>,
    /// Those whose order's row has this product. A letter without a row has none.
    pub product_id: Option<i64>,
    /// Those that name this order.
    pub order_id: Option<OrderId>,
    /// Those that somebody has retried or discarded, or those that nobody has.
    pub resolved: Option<bool>,
}

/// How many letters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LetterCount {
    /// How many.
    pub letters: u64,
    /// The highest id among them; 0 if there is none.
    pub last_id: i64,
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuriedLetter {
    /// Key of the row.
    pub id: i64,
    /// The order, as far as the message named one.
    pub order_id: Option<OrderId>,
    /// What the order's row says now; `None` if there is no such row.
    pub order_state: Option<State>,
    /// The message's bytes.
    pub payload: Vec<u8>,
    /// A [`DeadReason`] as text.
    pub reason: String,
    /// Why, for a person.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The worker that gave it up.
    pub worker: String,
    /// When, in microseconds since 1970-01-01 00:00 on the database's own clock.
    pub at_micros: i64,
    /// How long ago that was, by that clock.
    pub age: Duration,
    /// What somebody decided about it.
    pub resolved: Option<Resolved>,
}

/// What somebody decided about a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What.
    pub resolution: Resolution,
    /// When, in microseconds since 1970-01-01 00:00 on the database's own clock.
    pub at_micros: i64,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What can be decided about a dead letter, as in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Resolution {
    /// Its message went back to the queue.
    Retried,
    /// Nothing more is to be done for it. Its order stays as it is.
    Discarded,
}

impl Resolution {
    /// From the table, which holds nothing else.
    pub(crate) fn of(text: &str) -> Self {
        Self::from_label(text).unwrap_or(Self::Retried)
    }
}

/// Who decides, and why: for the table and the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Decision {
    /// What the timeline notes of an order that is put back to `pending`.
    pub(crate) fn note(&self) -> String {
        format!("redriven by {}: {}", self.by, self.reason)
    }
}

/// What a retry does with a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryStep {
    /// Its order goes `failed` → `pending` and the letter is marked as retried, in one transaction; then its message is
    /// pushed.
    Redrive,
    /// No order failed with it, so that no row has to be moved: its message is pushed, and then it is marked.
    Push,
    /// It is marked as retried and its order is still `pending`: whoever retried it may have died before the push, so
    /// its message is pushed once more. A message that comes twice does no harm.
    PushAgain,
    /// Nothing: it was retried before.
    Retried,
    /// Nothing: its order is in this state, which is nothing to be retried from.
    OrderIs(State),
}

impl RetryStep {
    /// What to do with a letter that was buried for `reason` and about which `resolution` is known, as its order's row
    /// is in state `order`.
    ///
    /// A letter that was discarded may be retried.
    pub fn of(reason: &str, resolution: Option<Resolution>, order: Option<&State>) -> Self {
        // The two reasons for which a message is given up while its order's row stays as it is.
        let row_was_left = [DeadReason::UnknownOrder, DeadReason::StoreRefused].map(DeadReason::as_str);
        match (resolution, order) {
            (Some(Resolution::Retried), Some(State::Pending)) => Self::PushAgain,
            (Some(Resolution::Retried), _) => Self::Retried,
            (_, None) => Self::Push,
            (_, Some(State::Failed)) => Self::Redrive,
            (_, Some(State::Pending | State::Processing)) if row_was_left.contains(&reason) => Self::Push,
            (_, Some(state)) => Self::OrderIs(state.clone()),
        }
    }
}

/// The answer to a retry of one letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// What is to be done, decided while the order's row was locked. [`RetryStep::Redrive`] is committed, but for the
    /// push; of the others nothing is written.
    Decided {
        /// What.
        step: RetryStep,
        /// The order, as far as the message named one.
        order_id: Option<OrderId>,
        /// The message's bytes.
        payload: Vec<u8>,
    },
    /// There is no such letter.
    Unknown,
    /// The database refused this row and took its neighbours.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_order_is_redriven_and_a_final_or_foreign_one_is_left() {
        let step = |state: &str| RetryStep::of("rejected", None, Some(&State::from(state)));
        assert_eq!(step("failed"), RetryStep::Redrive);
        for state in ["pending", "processing", "fulfilled", "cancelled"] {
            assert_eq!(step(state), RetryStep::OrderIs(State::from(state)));
        }
    }

    #[test]
    fn a_message_whose_row_was_left_as_it_was_is_pushed() {
        assert_eq!(RetryStep::of("invalid_message", None, None), RetryStep::Push);
        for reason in ["unknown_order", "store_refused"] {
            assert_eq!(RetryStep::of(reason, None, None), RetryStep::Push);
            assert_eq!(RetryStep::of(reason, None, Some(&State::Pending)), RetryStep::Push);
            assert_eq!(RetryStep::of(reason, None, Some(&State::Fulfilled)), RetryStep::OrderIs(State::Fulfilled));
        }
    }

    #[test]
    fn a_letter_that_was_retried_is_pushed_again_while_its_order_is_pending() {
        let retried = Some(Resolution::Retried);
        assert_eq!(RetryStep::of("rejected", retried, Some(&State::Pending)), RetryStep::PushAgain);
        assert_eq!(RetryStep::of("rejected", retried, Some(&State::Failed)), RetryStep::Retried);
        assert_eq!(RetryStep::of("invalid_message", retried, None), RetryStep::Retried);
    }

    #[test]
    fn a_letter_that_was_discarded_may_be_retried() {
        let discarded = Some(Resolution::Discarded);
        assert_eq!(RetryStep::of("rejected", discarded, Some(&State::Failed)), RetryStep::Redrive);
        assert_eq!(RetryStep::of("invalid_message", discarded, None), RetryStep::Push);
    }
}
