//! Dead letters as text and as JSON.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::cli::output::rounded;
use crate::domain::label::Label;
use crate::domain::order::iso_8601;
use crate::operations::plural;
use crate::port::dead_letters::{Resolved, StoredDeadLetter};

/// A dead letter as JSON, without its message.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Json<'a> {
    id: i64,
    order_id: Option<i64>,
    order_state: Option<&'a str>,
    reason: &'a str,
    detail: &'a str,
    attempts: u32,
    worker: &'a str,
    at: Option<String>,
    age_seconds: f64,
    resolution: Option<&'static str>,
    resolved_at: Option<String>,
    resolved_by: Option<&'a str>,
    resolved_reason: Option<&'a str>,
}

impl<'a> Json<'a> {
    pub(in crate::cli) fn of(letter: &'a StoredDeadLetter) -> Self {
        let resolved = letter.resolved.as_ref();
        Self {
            id: letter.id,
            order_id: letter.order_id.map(|order_id| order_id.0),
            order_state: letter.order_state.as_ref().map(|state| state.as_str()),
            reason: &letter.reason,
            detail: &letter.detail,
            attempts: letter.attempts,
            worker: &letter.worker,
            at: iso_8601(letter.at_micros),
            age_seconds: letter.age.as_secs_f64(),
            resolution: resolved.map(|resolved| resolved.resolution.as_str()),
            resolved_at: resolved.and_then(|resolved| iso_8601(resolved.at_micros)),
            resolved_by: resolved.map(|resolved| resolved.by.as_str()),
            resolved_reason: resolved.map(|resolved| resolved.reason.as_str()),
        }
    }
}

/// A dead letter as JSON, with its message: as text if it is UTF-8, else in base64.
#[derive(Debug, Serialize)]
pub(super) struct WholeJson<'a> {
    #[serde(flatten)]
    letter: Json<'a>,
    payload: Option<&'a str>,
    payload_base64: Option<String>,
}

impl<'a> WholeJson<'a> {
    pub(super) fn of(letter: &'a StoredDeadLetter) -> Self {
        let payload = std::str::from_utf8(&letter.payload).ok();
        let payload_base64 = payload.is_none().then(|| BASE64_STANDARD.encode(&letter.payload));
        Self { letter: Json::of(letter), payload, payload_base64 }
    }
}

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

    #[test]
    fn json_has_the_names_that_help_promises() {
        let whole = StoredDeadLetter { resolved: retried(), ..letter(b"{}") };
        let mut expected = serde_json::json!({
            "id": 7, "order_id": 12, "order_state": "failed", "reason": "rejected", "detail": "422: no such\ncolour",
            "attempts": 1, "worker": "00ff", "at": "2023-11-14T22:13:20.000000", "age_seconds": 90.0,
            "resolution": "retried", "resolved_at": "2023-11-14T22:14:20.000000", "resolved_by": "anna",
            "resolved_reason": "back in stock",
        });
        assert_eq!(serde_json::to_value(Json::of(&whole)).unwrap(), expected);
        expected["payload"] = "{}".into();
        expected["payload_base64"] = serde_json::Value::Null;
        assert_eq!(serde_json::to_value(WholeJson::of(&whole)).unwrap(), expected);
        let bytes = serde_json::to_value(WholeJson::of(&letter(b"\xff"))).unwrap();
        assert_eq!((&bytes["payload"], &bytes["payload_base64"]), (&serde_json::Value::Null, &"/w==".into()));
    }
}
