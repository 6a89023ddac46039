//! Dead letters as text.

use crate::cli::output::rounded;
use crate::domain::label::Label;
use crate::domain::order::iso_8601;
use crate::operations::plural;
use crate::port::dead_letters::{Resolved, StoredDeadLetter};

/// The cells of a dead letter: id, age, reason, order, detail, and the decision where there is one.
pub(in crate::cli) fn cells(letter: &StoredDeadLetter) -> [String; 5] {
    let decision = letter.resolved.as_ref().map(|resolved| format!("[{}] ", decision(resolved)));
    let detail = format!("{}{}", decision.unwrap_or_default(), letter.detail);
    [letter.id.to_string(), rounded(letter.age), letter.reason.clone(), order(letter), detail]
}

/// A dead letter in full.
pub(super) fn whole(letter: &StoredDeadLetter) -> Vec<String> {
    let at = iso_8601(letter.at_micros).unwrap_or_default();
    let message = match std::str::from_utf8(&letter.payload) {
        Ok(text) => text.to_owned(),
        Err(_) => letter.payload.escape_ascii().to_string(),
    };
    vec![
        format!("letter    {}   {}", letter.id, letter.reason),
        format!("detail    {}", letter.detail),
        format!("order     {}", order(letter)),
        format!("attempts  {}", letter.attempts),
        format!("stored    {at}   {} ago   by worker {}", rounded(letter.age), letter.worker),
        format!("decided   {}", letter.resolved.as_ref().map_or("not yet".to_owned(), decision)),
        format!("message   {}", plural(letter.payload.len() as u64, "byte")),
        message,
    ]
}

fn order(letter: &StoredDeadLetter) -> String {
    match (letter.order_id, &letter.order_state) {
        (None, _) => "without an order".to_owned(),
        (Some(id), None) => format!("order {id} without a row"),
        (Some(id), Some(state)) => format!("order {id} {}", state.as_str()),
    }
}

fn decision(resolved: &Resolved) -> String {
    let at = iso_8601(resolved.at_micros).unwrap_or_default();
    format!("{} by {} at {at}: {}", resolved.resolution.as_str(), resolved.by, resolved.reason)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::dead_letter::Resolution;
    use crate::domain::order::{OrderId, State};

    fn letter(payload: &[u8]) -> StoredDeadLetter {
        StoredDeadLetter {
            id: 7,
            order_id: Some(OrderId(12)),
            order_state: Some(State::Failed),
            payload: payload.to_vec(),
            reason: "rejected".to_owned(),
            detail: "422: no such\ncolour".to_owned(),
            attempts: 1,
            worker: "00ff".to_owned(),
            at_micros: 1_700_000_000_000_000,
            age: Duration::from_secs(90),
            resolved: None,
        }
    }

    fn retried() -> Option<Resolved> {
        let (by, reason) = ("anna".to_owned(), "back in stock".to_owned());
        Some(Resolved { resolution: Resolution::Retried, at_micros: 1_700_000_060_000_000, by, reason })
    }

    #[test]
    fn a_dead_letter_has_a_cell_for_each_column() {
        let expected = ["7", "1m 30s", "rejected", "order 12 failed", "422: no such\ncolour"];
        assert_eq!(cells(&letter(b"")), expected);
        let decided = StoredDeadLetter { resolved: retried(), ..letter(b"") };
        assert_eq!(
            cells(&decided)[4],
            "[retried by anna at 2023-11-14T22:14:20.000000: back in stock] 422: no such\ncolour"
        );
    }

    #[test]
    fn a_message_is_shown_as_text_or_as_escaped_bytes() {
        assert_eq!(whole(&letter("{\"a\":\"ä\"}".as_bytes())).last().unwrap(), "{\"a\":\"ä\"}");
        assert_eq!(whole(&letter(b"\xff\x00{")).last().unwrap(), "\\xff\\x00{");
    }
}
