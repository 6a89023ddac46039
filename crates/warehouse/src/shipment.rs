//! What a call asks for, held against the contract.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::problem::Problem;

/// The longest key that is taken; the worker's have 48 characters at most.
const LONGEST_KEY: usize = 200;

/// A call that keeps to the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shipment {
    pub(super) key: Arc<str>,
    pub(super) order_id: u64,
    pub(super) product_id: u64,
    pub(super) attempt: u64,
}

/// The idempotency key, of a call whose headers are right.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<Arc<str>, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type", "must be application/json"));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::of(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding",
            "the body must not be encoded",
        ));
    }
    let mut keys = headers.get_all("Idempotency-Key").iter();
    match (keys.next().and_then(|key| key.to_str().ok()), keys.next()) {
        (Some(key), None) if is_key(key) => Ok(key.into()),
        _ => Err(Problem::of(
            StatusCode::BAD_REQUEST,
            "Idempotency-Key",
            format!(
                "must be there once: 1 to {LONGEST_KEY} letters, digits, `-`, `.`, `_` or `~`, the first a letter or digit"
            ),
        )),
    }
}

/// Characters that need no quoting, in a header or in a path.
fn is_key(key: &str) -> bool {
    key.len() <= LONGEST_KEY
        && key.starts_with(|first: char| first.is_ascii_alphanumeric())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// The whole shipment. Fields that the contract doesn't have are ignored, as it may get more.
pub(super) fn check_body(key: Arc<str>, body: &[u8]) -> Result<Shipment, Problem> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::of(StatusCode::BAD_REQUEST, "body", format!("is not JSON: {error}")))?;
    let Value::Object(fields) = value else { return Err(wrong("body", "must be a JSON object")) };
    for name in ["product", "correlation_id"] {
        if !text_or_null(&fields, name, |_| true) {
            return Err(wrong(name, "must be a string or null"));
        }
    }
    if !text_or_null(&fields, "created_at", is_date_time) {
        return Err(wrong("created_at", "must be null or have the form 2010-12-01T08:26:00.000000"));
    }
    positive(&fields, "quantity")?;
    Ok(Shipment {
        key,
        order_id: positive(&fields, "order_id")?,
        product_id: positive(&fields, "product_id")?,
        attempt: positive(&fields, "attempt")?,
    })
}

fn positive(fields: &Map<String, Value>, name: &'static str) -> Result<u64, Problem> {
    match fields.get(name).map(whole_number) {
        Some(Some(number)) if (1..=i64::MAX.unsigned_abs()).contains(&number) => Ok(number),
        Some(_) => Err(wrong(name, "must be an integer from 1 to 2^63 - 1")),
        None => Err(wrong(name, "is missing; it must be an integer of at least 1")),
    }
}

/// Also when it is written as 2.0, which is the same number in JSON. What doesn't fit is out of range anyway.
fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as u64))
}

fn text_or_null(fields: &Map<String, Value>, name: &str, is_right: impl Fn(&str) -> bool) -> bool {
    match fields.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => is_right(text),
        Some(_) => false,
    }
}

/// The form of the column, not the calendar: who takes the date apart will find out about the 31st of February.
fn is_date_time(text: &str) -> bool {
    const FORM: &str = "0000-00-00T00:00:00.000000";
    let within = |from: usize, low: u8, high: u8| {
        text.get(from..from + 2).and_then(|digits| digits.parse().ok()).is_some_and(|n: u8| (low..=high).contains(&n))
    };
    let has_form = |byte: (u8, u8)| if byte.1 == b'0' { byte.0.is_ascii_digit() } else { byte.0 == byte.1 };
    text.len() == FORM.len()
        && text.bytes().zip(FORM.bytes()).all(has_form)
        && within(5, 1, 12)
        && within(8, 1, 31)
        && within(11, 0, 23)
        && within(14, 0, 59)
        && within(17, 0, 59)
}

fn wrong(field: &'static str, detail: &str) -> Problem {
    Problem::of(StatusCode::UNPROCESSABLE_ENTITY, field, detail)
}
