//! `/log` shows and changes the log's filter while the process runs. It answers the same machine only: a filter can fill a
//! disk or hide an attack.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::StringRejection;
use axum::extract::{DefaultBodyLimit, Extension, RawQuery, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::guard::refuse_bodies;
use super::{Peer, Routes};
use crate::config::values;
use crate::domain::text;
use crate::observe::logging::{Filter, Log};

/// Longer than any filter that a person writes.
const MAX_FILTER_BYTES: usize = 1024;

const NOT_HERE: &str = "the log belongs to the program around this worker, which has not handed it over\n";
const NOT_LOCAL: &str = "the log's filter is shown and changed from the loopback address of the worker's own machine \
                         only; run `fulfillment-worker log` there\n";
const NOT_A_PAGE: &str = "the log's filter is not for web pages; use `fulfillment-worker log` or curl\n";

pub(super) fn router() -> Router<Routes> {
    Router::new()
        .route("/log", get(show).layer(middleware::from_fn(refuse_bodies)).put(change))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and PUT are answered\n"))
        .layer(DefaultBodyLimit::max(MAX_FILTER_BYTES))
        // Before the body is read.
        .layer(middleware::from_fn(refuse_strangers))
}

async fn refuse_strangers(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    match refusal(peer, request.headers()) {
        Some(why) => (StatusCode::FORBIDDEN, [(header::CONNECTION, "close")], why).into_response(),
        None => next.run(request).await,
    }
}

/// Returns why this client is refused, if it is. Any site can lead a browser on this machine here. Its headers, which no page
/// can omit or forge, reveal that, or the site's name does, if it was made to resolve to this machine.
fn refusal(peer: Peer, headers: &HeaderMap) -> Option<&'static str> {
    let from_a_page = headers.contains_key(header::ORIGIN)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "none")
        || !headers.get(header::HOST).is_none_or(is_this_machine);
    let is_here = match peer {
        Peer::Network(address) => address.ip().to_canonical().is_loopback(),
        Peer::AdminSocket => true,
        Peer::Socket => false,
    };
    if !is_here {
        Some(NOT_LOCAL)
    } else if from_a_page {
        Some(NOT_A_PAGE)
    } else {
        None
    }
}

/// Whether a `Host` is an address, or the name that every machine has for itself.
fn is_this_machine(host: &HeaderValue) -> bool {
    let host = host.to_str().unwrap_or_default();
    let authority: Option<Authority> = host.parse().ok();
    authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok()
    })
}

async fn show(State(routes): State<Routes>) -> Response {
    match routes.log {
        Some(log) => in_force(&log),
        None => (StatusCode::NOT_FOUND, NOT_HERE).into_response(),
    }
}

async fn change(
    State(routes): State<Routes>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    body: Result<String, StringRejection>,
) -> Response {
    let Some(log) = routes.log else { return (StatusCode::NOT_FOUND, NOT_HERE).into_response() };
    let changed = filter(body).and_then(|text| {
        let limit = limit(query.as_deref().unwrap_or_default())?;
        let filter = Filter::new(&text, &format!("PUT /log by {peer}"));
        log.change(filter, limit).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))
    });
    match changed {
        Ok(()) => in_force(&log),
        // It quotes what was asked for.
        Err((status, problem)) => (status, text::lines(&problem).into_owned()).into_response(),
    }
}

fn in_force(log: &Log) -> Response {
    text::lines(&format!("{}\n", log.in_force())).into_owned().into_response()
}

type Refused = (StatusCode, String);

fn filter(body: Result<String, StringRejection>) -> Result<String, Refused> {
    let text = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("a filter has at most {MAX_FILTER_BYTES} bytes\n"))
        }
        status => (status, format!("{}\n", rejection.body_text())),
    })?;
    match text.trim() {
        "" => Err((StatusCode::BAD_REQUEST, "the body has to be a filter, such as `debug`\n".to_owned())),
        text => Ok(text.to_owned()),
    }
}

/// The duration of `?for=`, if there is one.
fn limit(query: &str) -> Result<Option<Duration>, Refused> {
    let mut limit = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let parsed = match &*name {
            "for" => values::log_change(&value).map_err(|problem| format!("?for={value}: {problem}\n")),
            _ => Err(format!("there is no parameter `{name}`, only `for`\n")),
        };
        limit = Some(parsed.map_err(|problem| (StatusCode::BAD_REQUEST, problem))?);
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn only_peers_on_loopback_are_answered() {
        let refused = |peer: &str| refusal(Peer::Network(peer.parse().unwrap()), &HeaderMap::new());
        for peer in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(refused(peer), None, "{peer}");
        }
        for peer in ["10.0.0.1:1", "192.168.1.1:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1", "[2001:db8::1]:1"] {
            assert_eq!(refused(peer), Some(NOT_LOCAL), "{peer}");
        }
    }

    #[test]
    fn a_page_in_a_browser_on_this_machine_is_refused_and_what_somebody_types_is_not() {
        let refused = |name, value| refusal(Peer::Network("127.0.0.1:1".parse().unwrap()), &headers(name, value));
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:2112"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "same-origin"),
            ("host", "evil.example:2112"),
            ("host", ""),
        ] {
            assert_eq!(refused(name, value), Some(NOT_A_PAGE), "{name}: {value}");
        }
        assert_eq!(refused("sec-fetch-site", "none"), None);
        for (name, value) in [("host", "localhost:2112"), ("host", "127.0.0.1:2112"), ("host", "[::1]:2112")] {
            assert_eq!(refused(name, value), None, "{name}: {value}");
        }
    }

    #[test]
    fn a_change_for_a_time_is_bounded() {
        assert_eq!(limit(""), Ok(None));
        assert_eq!(limit("for=10m"), Ok(Some(Duration::from_secs(600))));
        for query in ["for=10", "for=25h", "for=0s", "for=", "until=10m"] {
            assert_eq!(limit(query).unwrap_err().0, StatusCode::BAD_REQUEST, "{query}");
        }
    }
}
