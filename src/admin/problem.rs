//! What a program is told when its request comes to nothing: a problem document (RFC 9457).

use std::num::NonZeroU32;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::text;

/// Where the API begins. Whatever is refused below it is refused with a problem document.
pub(crate) const API: &str = "/api/";

/// The type of a problem document.
pub(crate) const TYPE: &str = "application/problem+json";

/// More than any refusal in words has.
const MOST_TEXT: usize = 64 * 1024;

/// Elements of a batch that are named, at most.
const MOST_ELEMENTS: usize = 100;

/// An element of a batch that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ElementProblem {
    /// Its place, from 0; of JSON Lines, without empty lines.
    pub(crate) index: usize,
    /// What is wrong with it.
    pub(crate) detail: String,
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What happened, to which thing, and what to do.
    detail: String,
    /// The parameter of the query or the path that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// The field of the body that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The elements of a batch that can't be used, at most 100.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: Box<[ElementProblem]>,
    /// Seconds.
    #[serde(skip)]
    retry_after: Option<NonZeroU32>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            parameter: None,
            field: None,
            errors: Box::default(),
            retry_after: None,
        }
    }

    /// A parameter that can't be used.
    pub(crate) fn of_parameter(name: &str, problem: impl std::fmt::Display) -> Self {
        let parameter = Some(name.to_owned());
        Self { parameter, ..Self::new(StatusCode::BAD_REQUEST, format!("`{name}` {problem}")) }
    }

    /// A field that can't be used.
    pub(crate) fn of_field(name: &str, problem: impl std::fmt::Display) -> Self {
        let field = Some(name.to_owned());
        Self { field, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`{name}`: {problem}")) }
    }

    /// Elements of a batch that can't be used, of which nothing is done then.
    pub(crate) fn of_elements(mut errors: Vec<ElementProblem>) -> Self {
        let detail = format!("nothing is done, as {} of the elements can't be used", errors.len());
        errors.truncate(MOST_ELEMENTS);
        Self { errors: errors.into(), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// What happened.
    pub(crate) fn into_detail(self) -> String {
        self.detail
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { title: status.canonical_reason().unwrap_or_default().to_owned(), status: status.as_u16(), ..self }
    }

    /// Nobody can say now; asking again may help.
    pub(crate) fn unavailable(detail: impl Into<String>, retry_after: u32) -> Self {
        Self { retry_after: NonZeroU32::new(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Names, numbers and texts: there is nothing here that JSON can't say.
        let json = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, text::json(&json).into_owned()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TYPE));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.get()));
        }
        response
    }
}

/// Puts a refusal of a path below [`API`] in the form of a problem document, whoever refused it.
pub(super) async fn as_problems(request: Request, next: Next) -> Response {
    let is_of_api = request.uri().path().starts_with(API);
    let response = next.run(request).await;
    let status = response.status();
    if !is_of_api || !(status.is_client_error() || status.is_server_error()) || is_problem(response.headers()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, MOST_TEXT).await.unwrap_or_default();
    let detail = match String::from_utf8_lossy(&text).trim() {
        "" => without_words(status, &parts.headers),
        text => text.to_owned(),
    };
    let mut problem = Problem::new(status, detail).into_response();
    let kept = parts.headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
    for (name, value) in kept.filter(|(name, _)| ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name)) {
        problem.headers_mut().append(name, value);
    }
    problem
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value == TYPE)
}

fn without_words(status: StatusCode, headers: &HeaderMap) -> String {
    match headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok()) {
        Some(allow) => format!("this path answers {allow} alone"),
        None => status.canonical_reason().unwrap_or("refused").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), MOST_TEXT).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_problem_names_what_is_wrong_and_hides_nothing_that_a_terminal_acts_on() {
        let response = Problem::of_parameter("limit", "is \u{1b}[2J").into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[header::CONTENT_TYPE], TYPE);
        let expected = r#"{"title":"Bad Request","status":400,"detail":"`limit` is \u001b[2J","parameter":"limit"}"#;
        assert_eq!(text(response).await, expected);
    }

    #[tokio::test]
    async fn who_is_to_come_again_is_told_when() {
        let response = Problem::unavailable("too many at once", 1).into_response();
        assert_eq!(
            (response.status(), &response.headers()[header::RETRY_AFTER]),
            (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(1))
        );
    }
}
