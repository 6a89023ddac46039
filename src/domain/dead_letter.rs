//! Why a message is dead-lettered, and what a person can decide about it afterwards.

use crate::domain::label::Label;
use crate::domain::order::State;

/// Why a message ended in the dead letters, as in the table and in labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DeadReason {
    /// The message could not be read ([`crate::domain::message::Poison`]).
    InvalidMessage,
    /// No row appeared for it, however often it was retried.
    UnknownOrder,
    /// The fulfiller said that it will never do it.
    Rejected,
    /// Every attempt that the policy allows failed.
    AttemptsExhausted,
    /// The database refuses the row.
    StoreRefused,
    /// Nobody knows whether the fulfiller did the work, and it is not to be asked twice.
    Ambiguous,
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
