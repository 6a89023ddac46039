//! One request for a page: who looks, and what the answer needs besides its content.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts as RequestParts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Page;
use super::caller::{Caller, Refusal};
use super::cookies::cookie;
use super::form::FormToken;
use super::frame::{self, Content, Frame, Tab, Who};
use super::html;
use crate::admin::{Operator, Viewer, on_behalf};

const NOTICE: &str = "fulfillment_notice";

/// Characters of a notice that are kept.
const MOST_NOTICE: usize = 1_000;

/// A request for a page.
pub(super) struct Visit {
    pub(super) page: Page,
    pub(super) who: Who,
    pub(super) api: Caller,
    /// For the forms of the answer.
    pub(super) token: FormToken,
    /// The query, as it was sent.
    pub(super) query: String,
    /// What came of the action before.
    notice: Option<String>,
}

impl FromRequestParts<Page> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut RequestParts, page: &Page) -> Result<Self, Infallible> {
        let who = match Operator::from_request_parts(parts, page).await {
            Ok(operator) => Who::Operator(operator.to_string()),
            Err(_) if Viewer::from_request_parts(parts, page).await.is_ok() => Who::Viewer,
            Err(_) => Who::Anybody,
        };
        Ok(Self {
            who,
            api: Caller::new(page.parts.api.clone(), on_behalf(&parts.extensions)),
            token: FormToken::of(&parts.headers),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            notice: cookie(&parts.headers, NOTICE).map(|text| decoded(&text)).filter(|text| !text.is_empty()),
            page: page.clone(),
        })
    }
}

impl Visit {
    pub(super) fn is_operator(&self) -> bool {
        matches!(self.who, Who::Operator(_))
    }

    /// A value of the query, empty where it is missing.
    pub(super) fn parameter(&self, name: &str) -> String {
        self.parameters(name).into_iter().next().unwrap_or_default()
    }

    /// Every value of the query with this name.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(|(of, _)| of == name).map(|(_, value)| value.into_owned()).collect()
    }

    /// The whole answer: the content, or why there is none.
    pub(super) fn answer(self, tab: Tab, content: Result<Content, Refusal>) -> Response {
        match content {
            Ok(content) => self.answer_with(StatusCode::OK, tab, &content),
            Err(refusal) => {
                let content = self.refused(&refusal);
                self.answer_with(refusal.status, tab, &content)
            }
        }
    }

    /// The whole answer.
    pub(super) fn answer_with(self, status: StatusCode, tab: Tab, content: &Content) -> Response {
        let frame = Frame { parts: &self.page.parts, who: &self.who, tab, notice: self.notice.as_deref() };
        let page = frame::page(&frame, content);
        let mut response = html::answer(status, page);
        let token = self.token.cookie().filter(|_| self.is_operator());
        for cookie in token.into_iter().chain(self.notice.map(|_| set_notice(""))) {
            response = html::with_header(response, header::SET_COOKIE, cookie);
        }
        response
    }

    /// Leads to a page that says what came of an action.
    pub(super) fn done(self, to: &str, notice: &str) -> Response {
        let notice: String = notice.chars().take(MOST_NOTICE).collect();
        let headers = [(header::LOCATION, HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/")))];
        let response = (StatusCode::SEE_OTHER, headers).into_response();
        html::with_header(response, header::SET_COOKIE, set_notice(&notice))
    }

    fn refused(&self, refusal: &Refusal) -> Content {
        let body = html! {
            @if refusal.status == StatusCode::FORBIDDEN && self.who == Who::Anybody {
                p {
                    "This shows orders, errors and names, which takes a login: start the worker with " code { "--web-config" }
                    " and users, or open the page through its admin socket or the link that " code { "demo" } " prints."
                }
            } @else {
                p.problem { (refusal.detail) }
            }
            p { a href="/" { "To the overview" } }
        };
        let title = match refusal.status {
            StatusCode::FORBIDDEN if self.who == Who::Anybody => "Not without a login",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::NOT_FOUND => "There is no such thing",
            StatusCode::SERVICE_UNAVAILABLE => "No answer at the moment",
            _ => "That did not work",
        };
        Content::new(title, body)
    }
}

/// Shown once; no secret, and of no use to anybody else.
fn set_notice(text: &str) -> HeaderValue {
    let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
    let seconds = if text.to_string().is_empty() { 0 } else { 60 };
    let cookie = format!("{NOTICE}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static(""))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().chars().take(MOST_NOTICE).collect()
}
