//! Jobs in words.

use serde_json::{Map, Value};

use crate::operations::documents::jobs::JobJson;
use crate::page::html::{duration, number};

/// What it does.
pub(super) fn kind(kind: &str) -> String {
    match kind {
        "dead_retry" => "retry dead letters".to_owned(),
        "dead_discard" => "discard dead letters".to_owned(),
        "cancel" | "hold" | "release" => format!("{kind} orders"),
        other => other.replace('_', " "),
    }
}

/// How many it has decided about.
pub(super) fn decided(job: &JobJson) -> u64 {
    job.done.saturating_add(job.skipped).saturating_add(job.refused)
}

/// How far it is.
pub(super) fn progress(job: &JobJson) -> String {
    let mut words = format!("{} of {}", number(decided(job)), number(job.matching));
    let parts = [(job.done, "done"), (job.skipped, "skipped"), (job.refused, "refused")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", number(*count)))
        .collect();
    if !parts.is_empty() {
        words = format!("{words}: {}", parts.join(", "));
    }
    words
}

/// What it is about, and of a hold how long that lasts.
pub(super) fn filter(job: &JobJson) -> String {
    let selection = job.selection.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok());
    match selection {
        Some(Value::Object(selection)) => selected(&selection),
        _ => "a filter that this version can't read".to_owned(),
    }
}

fn selected(selection: &Map<String, Value>) -> String {
    let parts: Vec<String> = selection.iter().filter_map(|(name, value)| part(name, value)).collect();
    match parts.is_empty() {
        true => "all".to_owned(),
        false => parts.join(", "),
    }
}

/// One field; `None` where it leaves nothing out.
fn part(name: &str, value: &Value) -> Option<String> {
    let age = || duration(value.as_f64().unwrap_or_default());
    Some(match name {
        "reasons" => format!("with reason {}", any_of(value).replace('_', " ")),
        "states" => any_of(value),
        "older_than_seconds" if value.as_f64() == Some(0.0) => return None,
        "older_than_seconds" => format!("older than {}", age()),
        "newer_than_seconds" => format!("of the last {}", age()),
        "product_id" => format!("of product {value}"),
        "order_id" => format!("of order {value}"),
        "correlation_id" => format!("with correlation id {}", text(value)),
        "hold_seconds" => format!("held for {}", age()),
        "hold_until_micros" => match value.as_i64().map(jiff::Timestamp::from_microsecond) {
            Some(Ok(until)) => format!("held until {until}"),
            _ => format!("held until {value}"),
        },
        other => format!("{} {}", other.replace('_', " "), any_of(value)),
    })
}

fn any_of(value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" or "),
        value => text(value),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(selection: &Value) -> JobJson {
        let job = json!({
            "id": 3, "kind": "dead_retry", "state": "working", "selection": selection, "by": "bob", "why": "w", "matching": 12_000,
            "done": 1_200, "skipped": 0, "refused": 4, "rate": null, "problem": null, "worker": null,
            "made_at": "2026-11-28T00:00:00Z", "age_seconds": 1.0, "ended_at": null,
        });
        serde_json::from_str(&job.to_string()).unwrap()
    }

    #[test]
    fn a_filter_is_said_in_words_and_one_of_a_version_to_come_too() {
        let cases = [
            (json!({}), "all"),
            (json!({"older_than_seconds": 0.0}), "all"),
            (json!({"reasons": ["rejected", "attempts_exhausted"]}), "with reason rejected or attempts exhausted"),
            (json!({"states": ["pending"], "product_id": 7}), "of product 7, pending"),
            (json!({"newer_than_seconds": 3600.0, "older_than_seconds": 60.0}), "of the last 60 min, older than 60 s"),
            (
                json!({"correlation_id": "basket 7", "hold_seconds": 86400.0}),
                "with correlation id basket 7, held for 24.0 h",
            ),
            (json!({"hold_until_micros": 1_700_000_000_000_000_i64}), "held until 2023-11-14T22:13:20Z"),
            (json!({"fingerprint": "a1b2"}), "fingerprint a1b2"),
            (Value::Null, "a filter that this version can't read"),
        ];
        for (selection, expected) in cases {
            assert_eq!(filter(&job(&selection)), expected, "{selection}");
        }
    }

    #[test]
    fn progress_names_what_there_is() {
        let mut job = job(&json!({}));
        assert_eq!(progress(&job), "1,204 of 12,000: 1,200 done, 4 refused");
        (job.done, job.refused) = (0, 0);
        assert_eq!(progress(&job), "0 of 12,000");
    }
}
