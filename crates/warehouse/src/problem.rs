//! Answers that say what is wrong: `application/problem+json`, RFC 9457.

use axum::http::StatusCode;
use serde_json::json;

/// What is wrong with a call, and with which part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// The header or field of the body, `body` for the body as a whole, or none.
    pub(super) field: Option<&'static str>,
    /// A sentence for whoever mends it.
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, field: None, detail: detail.into() }
    }

    pub(super) fn of(status: StatusCode, field: &'static str, detail: impl Into<String>) -> Self {
        Self { status, field: Some(field), detail: detail.into() }
    }

    /// As the body of an answer.
    pub(super) fn to_json(&self) -> String {
        let mut body = json!({
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(field) = self.field {
            body["field"] = field.into();
        }
        body.to_string()
    }
}
