//! Reads the meaning of an answer for its order, from status, headers and the beginning of the body. Pure.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use url::Url;

/// The longest reference that is kept, in characters.
const LONGEST_REFERENCE: usize = 200;
/// The longest part of a body that is quoted, in characters.
const LONGEST_EXCERPT: usize = 300;

/// The longest pause that is understood; longer ones are taken for this. Clocks can add it without overflow.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// The order itself, with `POST`.
    Order,
    /// How an accepted order is getting on, with `GET`.
    Status,
}

/// What an answer says about the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Done.
    Fulfilled {
        /// The warehouse's own name for what it did.
        reference: Option<String>,
    },
    /// Taken, not done yet; to be asked about at this URL, which has the origin of the request's.
    Accepted(Url),
    /// Being worked on; the same request is to be made again later.
    InProgress(String),
    /// The warehouse can't now. It has not acted.
    Unavailable(String),
    /// It did not work this time.
    Failed(String),
    /// It did not work, or did and the answer got lost behind it.
    Ambiguous(String),
    /// It will never work.
    Rejected(String),
}

impl Meaning {
    /// The warehouse's reason; `None` if the order is done or accepted.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Fulfilled { .. } | Self::Accepted(_) => None,
            Self::InProgress(reason)
            | Self::Unavailable(reason)
            | Self::Failed(reason)
            | Self::Ambiguous(reason)
            | Self::Rejected(reason) => Some(reason),
        }
    }
}

/// An answer, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it says about the order.
    pub meaning: Meaning,
    /// From `Retry-After`: how long the warehouse wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the circuit breaker counts a failure: the next order would probably get the same answer.
    pub counts_against_breaker: bool,
}

/// Reads an answer.
///
/// `url` is what was asked, `body` the beginning of the answer's body after decompression, empty if it could not be
/// read, and `now` the time that a `Retry-After` date counts from where the answer has no `Date`.
pub fn read(
    kind: RequestKind,
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Answer {
    let meaning = meaning(kind, url, status, headers, body);
    let refuses_the_worker =
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    let counts_against_breaker = match meaning {
        Meaning::Unavailable(_) | Meaning::Ambiguous(_) => true,
        Meaning::Failed(_) => status.is_redirection(),
        Meaning::Rejected(_) => refuses_the_worker,
        Meaning::Fulfilled { .. } | Meaning::Accepted(_) | Meaning::InProgress(_) => false,
    };
    Answer { meaning, retry_after: retry_after(headers, now), counts_against_breaker }
}

fn meaning(kind: RequestKind, url: &Url, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Meaning {
    match (status.as_u16(), kind) {
        (202, RequestKind::Order) => match status_url(url, headers) {
            Some(status_url) => Meaning::Accepted(status_url),
            None => Meaning::InProgress(said(status, body)),
        },
        (202, RequestKind::Status) => Meaning::Accepted(url.clone()),
        (422, RequestKind::Status) => Meaning::Rejected(said(status, body)),
        // The order was taken; who may ask about it, where and how, says nothing about it.
        (300..=499, RequestKind::Status) if status != StatusCode::TOO_MANY_REQUESTS => {
            Meaning::InProgress(said(status, body))
        }
        (409, _) => Meaning::InProgress(said(status, body)),
        (200..=299, _) => Meaning::Fulfilled { reference: reference(body) },
        (429 | 503, _) => Meaning::Unavailable(said(status, body)),
        (408 | 425, _) => Meaning::Failed(said(status, body)),
        // 303 after a POST says that it was done.
        (300..=399, _) => Meaning::Ambiguous(format!("{}; redirects are not followed", said(status, body))),
        (400..=499, _) => Meaning::Rejected(said(status, body)),
        _ => Meaning::Ambiguous(said(status, body)),
    }
}

/// Where to ask about an accepted order: at the origin of `url` or nowhere, for the request carries credentials.
fn status_url(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let location = url.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let trusted = location.origin() == url.origin() && location.username().is_empty() && location.password().is_none();
    trusted.then_some(location)
}

/// Seconds, or the time until an HTTP date, a day at most; a date that is over asks for no pause. By the warehouse's own
/// clock where it tells the time: ours may be off.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are longer than anybody waits.
        return Some(value.parse().map_or(LONGEST_RETRY_AFTER, Duration::from_secs).min(LONGEST_RETRY_AFTER));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let server_time = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?.trim()).ok());
    let now = server_time.unwrap_or(now);
    Some(date.duration_since(now).unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

fn reference(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let reference = match body.get("reference")? {
        serde_json::Value::String(text) => clean(text, LONGEST_REFERENCE),
        serde_json::Value::Number(number) => clean(&number.to_string(), LONGEST_REFERENCE),
        _ => return None,
    };
    Some(reference).filter(|reference| !reference.is_empty())
}

fn said(status: StatusCode, body: &[u8]) -> String {
    let code = status.as_u16();
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let excerpt = clean(&String::from_utf8_lossy(body), LONGEST_EXCERPT);
    let separator = if excerpt.is_empty() { "" } else { ": " };
    format!("the warehouse answered {code}{reason}{separator}{excerpt}")
}

/// Text of others, made fit for a log line and a table: one line, no control or formatting characters, `longest`
/// characters at most.
pub(super) fn clean(text: &str, longest: usize) -> String {
    let shown = text.chars().filter(|character| !is_formatting(*character));
    let spaced: String = shown.map(|character| if character.is_control() { ' ' } else { character }).collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= longest {
        return line;
    }
    // The last character makes room for the sign that there was more.
    line.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

/// Characters that show nothing and change how the text around them is shown, such as its direction.
fn is_formatting(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
