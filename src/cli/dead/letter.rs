//! Dead letters as text.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::cli::output;
use crate::operations::documents::letters::{LetterDocument, WholeLetterDocument};
use crate::operations::plural;

/// The cells of a dead letter: id, age, reason, order, detail, and the decision where there is one.
pub(in crate::cli) fn cells(letter: &LetterDocument) -> [String; 5] {
    let decision = decision(letter).map(|decision| format!("[{decision}] "));
    let detail = format!("{}{}", decision.unwrap_or_default(), letter.detail);
    [letter.id.to_string(), output::age(letter.age_seconds), letter.reason.clone(), order(letter), detail]
}

/// A dead letter in full.
pub(super) fn whole(document: &WholeLetterDocument) -> Vec<String> {
    let WholeLetterDocument { letter, payload, payload_base64 } = document;
    let at = letter.at.as_deref().unwrap_or_default();
    let (bytes, message) = match payload {
        Some(text) => (text.len(), text.clone()),
        None => {
            let bytes = BASE64_STANDARD.decode(payload_base64.as_deref().unwrap_or_default()).unwrap_or_default();
            (bytes.len(), bytes.escape_ascii().to_string())
        }
    };
    vec![
        format!("letter    {}   {}", letter.id, letter.reason),
        format!("detail    {}", letter.detail),
        format!("order     {}", order(letter)),
        format!("attempts  {}", letter.attempts),
        format!("stored    {at}   {} ago   by worker {}", output::age(letter.age_seconds), letter.worker),
        format!("decided   {}", decision(letter).unwrap_or_else(|| "not yet".to_owned())),
        format!("message   {}", plural(bytes as u64, "byte")),
        message,
    ]
}

fn order(letter: &LetterDocument) -> String {
    match (letter.order_id, &letter.order_state) {
        (None, _) => "without an order".to_owned(),
        (Some(id), None) => format!("order {id} without a row"),
        (Some(id), Some(state)) => format!("order {id} {state}"),
    }
}

fn decision(letter: &LetterDocument) -> Option<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let resolution = letter.resolution.as_ref()?;
    let (by, at, why) = (text(&letter.resolved_by), text(&letter.resolved_at), text(&letter.resolved_reason));
    Some(format!("{resolution} by {by} at {at}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::documents::letters::fixture::{letter, retried};
    use crate::port::dead_letters::StoredDeadLetter;

    #[test]
    fn a_dead_letter_has_a_cell_for_each_column() {
        let expected = ["7", "1m 30s", "rejected", "order 12 failed", "422: no such\ncolour"];
        assert_eq!(cells(&(&letter(b"")).into()), expected);
        let decided = StoredDeadLetter { resolved: retried(), ..letter(b"") };
        assert_eq!(
            cells(&(&decided).into())[4],
            "[retried by anna at 2023-11-14T22:14:20.000000: back in stock] 422: no such\ncolour"
        );
    }

    #[test]
    fn a_message_is_shown_as_text_or_as_escaped_bytes() {
        assert_eq!(whole(&(&letter("{\"a\":\"ä\"}".as_bytes())).into()).last().unwrap(), "{\"a\":\"ä\"}");
        assert_eq!(whole(&(&letter(b"\xff\x00{")).into()).last().unwrap(), "\\xff\\x00{");
    }
}
