//! Why a message is dead-lettered, and what a person can decide about it afterwards.

use crate::domain::label::Label;
use crate::domain::order::State;

/// Why a message ended in the dead letters, as in the table and in labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// The message could not be read ([`crate::domain::message::Poison`]).
    InvalidMessage,
    /// No row appeared for it within all attempts.
    UnknownOrder,
    /// The fulfiller rejected the order for good.
    Rejected,
    /// Every attempt that the policy allows failed.
    AttemptsExhausted,
    /// The database refuses the row.
    StoreRefused,
    /// The fulfiller may have done the work, and must not be asked twice.
    Ambiguous,
    /// The order was begun, and when its attempt ended its row was not there any more.
    RowGone,
}

/// The reason of a stored dead letter, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, enum_map::Enum)]
pub enum StoredReason {
    /// One that this version knows.
    Known(DeadReason),
    /// One that another version of the worker wrote.
    Other,
}

impl StoredReason {
    /// Reads the table's text.
    pub(crate) fn of(text: &str) -> Self {
        DeadReason::from_label(text).map_or(Self::Other, Self::Known)
    }
}

impl From<StoredReason> for &'static str {
    fn from(reason: StoredReason) -> Self {
        match reason {
            StoredReason::Known(reason) => reason.as_str(),
            StoredReason::Other => "other",
        }
    }
}

/// A person's decision about a dead letter, as in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Resolution {
    /// Its message went back to the queue.
    Retried,
    /// It needs nothing more. Its order stays as it is.
    Discarded,
}

impl Resolution {
    /// Reads the table's text; the table holds no other.
    pub(crate) fn of(text: &str) -> Self {
        Self::from_label(text).unwrap_or(Self::Retried)
    }
}

/// The step that a retry takes for a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryStep {
    /// Its order goes `failed` → `pending` and the letter is marked as retried, in one transaction; then its message is
    /// pushed.
    Redrive,
    /// No order failed with it, so no row has to move: its message is pushed, and then it is marked.
    Push,
    /// It is marked as retried and its order is still `pending`: the process that retried it may have died before the
    /// push, so its message is pushed once more. A second message does no harm.
    PushAgain,
    /// Nothing: it was retried before.
    Retried,
    /// Nothing: its order is in this state, from which it can't be retried.
    OrderIs(State),
    /// Nothing: its order's row was lost and is not there again, so its message would find nothing to begin.
    RowIsGone,
}

impl RetryStep {
    /// Decides by the letter's `reason` and `resolution` and by the state of its order's row; `None` if there is no row.
    ///
    /// A discarded letter may be retried.
    pub fn of(reason: &str, resolution: Option<Resolution>, order: Option<&State>) -> Self {
        // A message that is given up for one of these reasons leaves its order's row as it is.
        let row_was_left = [DeadReason::UnknownOrder, DeadReason::StoreRefused, DeadReason::RowGone];
        let row_was_left = row_was_left.map(DeadReason::as_str);
        match (resolution, order) {
            (Some(Resolution::Retried), Some(State::Pending)) => Self::PushAgain,
            (Some(Resolution::Retried), _) => Self::Retried,
            (_, None) if reason == DeadReason::RowGone.as_str() => Self::RowIsGone,
            (_, None) => Self::Push,
            // The row that failed is another one than the one that was lost, and has a letter of its own.
            (_, Some(State::Failed)) if reason != DeadReason::RowGone.as_str() => Self::Redrive,
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
    fn a_letter_whose_row_is_gone_moves_no_row_and_is_pushed_only_for_one_that_is_open_again() {
        let step = |state: Option<&str>| RetryStep::of("row_gone", None, state.map(State::from).as_ref());
        assert_eq!(step(None), RetryStep::RowIsGone);
        for state in ["pending", "processing"] {
            assert_eq!(step(Some(state)), RetryStep::Push);
        }
        for state in ["failed", "fulfilled", "cancelled"] {
            assert_eq!(step(Some(state)), RetryStep::OrderIs(State::from(state)));
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
