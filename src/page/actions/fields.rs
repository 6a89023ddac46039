//! Fields of a form, read.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::page::caller::Refusal;
use crate::page::form::Form;

/// Null where it is empty.
pub(super) fn text(form: &Form, name: &str) -> Value {
    match form.one(name) {
        "" => Value::Null,
        text => json!(text),
    }
}

fn wrong(name: &str, value: &str, must: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("`{name}` is `{value}`, and must be {must}; nothing was done"))
}

/// A whole number, null where it is empty.
pub(super) fn whole(form: &Form, name: &str) -> Result<Value, Refusal> {
    match form.one(name) {
        "" => Ok(Value::Null),
        text => text.parse::<i64>().map(|number| json!(number)).map_err(|_| wrong(name, text, "a whole number")),
    }
}

pub(super) fn number(form: &Form, name: &str) -> Result<f64, Refusal> {
    let text = form.one(name);
    text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| wrong(name, text, "a number"))
}

/// How long something lasts, in seconds.
pub(super) fn lasts(form: &Form) -> Result<Value, Refusal> {
    match form.one("for") {
        "" => Ok(Value::Null),
        text => match humantime::parse_duration(text) {
            Ok(time) if time.as_secs() > 0 => Ok(json!(time.as_secs())),
            _ => Err(wrong("for", text, "a time from a second on, such as `30m` or `8h`")),
        },
    }
}
