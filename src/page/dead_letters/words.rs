//! Reasons, in words.

use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;

/// A reason in a few words, or as it is where another version wrote it.
pub(super) fn short(reason: &str) -> String {
    let words = match DeadReason::from_label(reason) {
        Some(DeadReason::InvalidMessage) => "message can't be read",
        Some(DeadReason::UnknownOrder) => "order unknown",
        Some(DeadReason::Rejected) => "rejected by the warehouse",
        Some(DeadReason::AttemptsExhausted) => "every attempt failed",
        Some(DeadReason::StoreRefused) => "refused by the database",
        Some(DeadReason::Ambiguous) => "perhaps carried out",
        Some(DeadReason::RowGone) => "row is gone",
        None => return reason.replace('_', " "),
    };
    words.to_owned()
}

/// What happened, and what to do about it.
pub(super) fn advice(reason: &str) -> Option<[&'static str; 2]> {
    Some(match DeadReason::from_label(reason)? {
        DeadReason::InvalidMessage => [
            "The message can't be read.",
            "Correct the producer. Retry it only if a newer version can read it; else discard it. Of a message over 64 KiB only the \
             beginning is kept: it can't be retried.",
        ],
        DeadReason::UnknownOrder => {
            ["No row appeared for this order.", "If the row is there by now, retry it; else discard it."]
        }
        DeadReason::Rejected => [
            "The warehouse refused the order for good. Its words are in the error.",
            "Correct what they name, then retry it; or discard it.",
        ],
        DeadReason::AttemptsExhausted => {
            ["Every attempt failed, or its workers died.", "Find the cause, then retry it."]
        }
        DeadReason::StoreRefused => [
            "The database refuses to write the order's row, by a trigger or a constraint. The row is as it was.",
            "Correct that, then retry it.",
        ],
        DeadReason::Ambiguous => [
            "The call was perhaps carried out: the answer got lost, and this order is not to be called for twice.",
            "Ask the warehouse by the idempotency key that the order's page shows. Retry it only if nothing was done, or if the \
             warehouse honours keys.",
        ],
        DeadReason::RowGone => [
            "The order was begun, and its row is not there any more: somebody deleted it, or the database lost what it had committed. \
             The error says whether it was shipped, and under which key.",
            "Compare with the warehouse by the key. Insert the row again with the same id and created_at, as fulfilled where it was \
             shipped, and discard this; or as pending, and retry it.",
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_words_and_advice_and_one_of_another_version_is_shown_as_it_is() {
        for reason in DeadReason::all().map(DeadReason::as_str) {
            assert!(advice(reason).is_some() && !short(reason).contains('_'), "{reason}");
        }
        assert_eq!((short("too_late"), advice("too_late")), ("too late".to_owned(), None));
    }
}
