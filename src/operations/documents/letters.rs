//! Dead letters as JSON.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::label::Label;
use crate::domain::order::iso_8601;
use crate::operations::cursor::List;
use crate::operations::groups::{Group, Groups};
use crate::operations::matching::Page;
use crate::port::dead_letters::{DeadLetterSelection, StoredDeadLetter};

/// The list's name in cursors.
pub const LETTERS: &str = "letters";

/// The groups'.
pub const GROUPS: &str = "groups";

/// A dead letter, without its message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LetterDocument {
    pub(crate) id: i64,
    /// Null where the message named none.
    pub(crate) order_id: Option<i64>,
    /// The state of the order's row now; null where there is no row.
    pub(crate) order_state: Option<String>,
    /// Why it was given up.
    pub(crate) reason: String,
    /// Why, for a person.
    pub(crate) detail: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// The worker that gave it up.
    pub(crate) worker: String,
    pub(crate) at: Option<String>,
    pub(crate) age_seconds: f64,
    /// `retried` or `discarded`; null before a decision.
    pub(crate) resolution: Option<String>,
    pub(crate) resolved_at: Option<String>,
    pub(crate) resolved_by: Option<String>,
    pub(crate) resolved_reason: Option<String>,
}

impl From<&StoredDeadLetter> for LetterDocument {
    fn from(letter: &StoredDeadLetter) -> Self {
        let resolved = letter.resolved.as_ref();
        Self {
            id: letter.id,
            order_id: letter.order_id.map(|order_id| order_id.0),
            order_state: letter.order_state.as_ref().map(|state| state.as_str().to_owned()),
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
            attempts: letter.attempts,
            worker: letter.worker.clone(),
            at: iso_8601(letter.at_micros),
            age_seconds: letter.age.as_secs_f64(),
            resolution: resolved.map(|resolved| resolved.resolution.as_str().to_owned()),
            resolved_at: resolved.and_then(|resolved| iso_8601(resolved.at_micros)),
            resolved_by: resolved.map(|resolved| resolved.by.clone()),
            resolved_reason: resolved.map(|resolved| resolved.reason.clone()),
        }
    }
}

/// A dead letter with its message: as text if it is UTF-8, else in base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WholeLetterDocument {
    #[serde(flatten)]
    pub(crate) letter: LetterDocument,
    /// Null if the message is not UTF-8.
    pub(crate) payload: Option<String>,
    /// Null if the message is UTF-8.
    pub(crate) payload_base64: Option<String>,
}

impl From<&StoredDeadLetter> for WholeLetterDocument {
    fn from(letter: &StoredDeadLetter) -> Self {
        let payload = std::str::from_utf8(&letter.payload).ok().map(str::to_owned);
        let payload_base64 = payload.is_none().then(|| BASE64_STANDARD.encode(&letter.payload));
        Self { letter: letter.into(), payload, payload_base64 }
    }
}

/// A page of dead letters, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LettersDocument {
    pub(crate) dead_letters: Vec<LetterDocument>,
    /// Their number on all pages, as far as they were counted.
    pub(crate) matching: u64,
    /// Whether there may be more, and the page may be short, because the search by `fingerprint` took long: the next page goes on.
    #[serde(default)]
    pub(crate) is_partial: bool,
    /// The id after which the next page begins; null on the last one.
    pub(crate) next_after: Option<i64>,
    /// Leads to the next page of the API, with the same filters; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

impl LettersDocument {
    /// A page of the letters that match `selection`.
    pub fn new(page: &Page, selection: &DeadLetterSelection) -> Self {
        let Page { letters, matching, next_after, is_partial } = page;
        Self {
            dead_letters: letters.iter().map(LetterDocument::from).collect(),
            matching: *matching,
            is_partial: *is_partial,
            next_after: *next_after,
            next_cursor: next_after.map(|after| List(LETTERS, selection).cursor(&after.to_string())),
        }
    }
}

/// Dead letters by reason and by what their errors have in common, the largest group first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupsDocument {
    /// The groups.
    pub groups: Vec<Group>,
    /// Letters that were read, the oldest ones.
    pub looked: u64,
    /// Whether there are more letters than that.
    pub is_partial: bool,
    /// Leads to the next groups of the API, with the same filters; null on the last page.
    pub next_cursor: Option<String>,
}

impl GroupsDocument {
    /// At most `limit` groups behind the first `skipped`.
    pub fn page(found: Groups, selection: &DeadLetterSelection, skipped: usize, limit: usize) -> Self {
        let Groups { groups, looked, is_partial } = found;
        let more = groups.len() > skipped + limit;
        let next_cursor = more.then(|| List(GROUPS, selection).cursor(&(skipped + limit).to_string()));
        Self { groups: groups.into_iter().skip(skipped).take(limit).collect(), looked, is_partial, next_cursor }
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use std::time::Duration;

    use crate::domain::dead_letter::Resolution;
    use crate::domain::order::{OrderId, State};
    use crate::port::dead_letters::{Resolved, StoredDeadLetter};

    pub(crate) fn letter(payload: &[u8]) -> StoredDeadLetter {
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

    pub(crate) fn retried() -> Option<Resolved> {
        let (by, reason) = ("anna".to_owned(), "back in stock".to_owned());
        Some(Resolved { resolution: Resolution::Retried, at_micros: 1_700_000_060_000_000, by, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{letter, retried};
    use super::*;

    #[test]
    fn json_has_the_names_that_help_promises() {
        let whole = StoredDeadLetter { resolved: retried(), ..letter(b"{}") };
        let mut expected = serde_json::json!({
            "id": 7, "order_id": 12, "order_state": "failed", "reason": "rejected", "detail": "422: no such\ncolour",
            "attempts": 1, "worker": "00ff", "at": "2023-11-14T22:13:20.000000", "age_seconds": 90.0,
            "resolution": "retried", "resolved_at": "2023-11-14T22:14:20.000000", "resolved_by": "anna",
            "resolved_reason": "back in stock",
        });
        assert_eq!(serde_json::to_value(LetterDocument::from(&whole)).unwrap(), expected);
        expected["payload"] = "{}".into();
        expected["payload_base64"] = serde_json::Value::Null;
        assert_eq!(serde_json::to_value(WholeLetterDocument::from(&whole)).unwrap(), expected);
        let bytes = serde_json::to_value(WholeLetterDocument::from(&letter(b"\xff"))).unwrap();
        assert_eq!((&bytes["payload"], &bytes["payload_base64"]), (&serde_json::Value::Null, &"/w==".into()));
    }
}
