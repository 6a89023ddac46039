//! `/log` shows the log's filter, and changes it while the process runs: for operators only, as a filter can fill a disk or
//! hide an attack.

use std::time::Duration;

use axum::Router;
use axum::extract::rejection::StringRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::timeout;

use super::Routes;
use super::access::Operator;
use crate::config::values;
use crate::domain::text;
use crate::observe::logging::{Filter, Log};

/// Longer than any filter that a person writes.
const MAX_FILTER_BYTES: usize = 1024;

/// Time for the whole body.
const BODY_LIMIT: Duration = Duration::from_secs(5);

const NOT_HERE: &str = "the log belongs to the program around this worker, which has not handed it over\n";

pub(super) fn router() -> Router<Routes> {
    Router::new()
        .route("/log", get(show).put(change))
        .layer(DefaultBodyLimit::max(MAX_FILTER_BYTES))
        .layer(from_fn(in_time))
}

/// Gives a request up whose body doesn't come: nothing else takes time here.
async fn in_time(request: Request, next: Next) -> Response {
    timeout(BODY_LIMIT, next.run(request)).await.unwrap_or_else(|_| {
        let why = format!("the body has not come within {} s\n", BODY_LIMIT.as_secs());
        (StatusCode::REQUEST_TIMEOUT, [(header::CONNECTION, "close")], why).into_response()
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
    operator: Operator,
    RawQuery(query): RawQuery,
    body: Result<String, StringRejection>,
) -> Response {
    let Some(log) = routes.log else { return (StatusCode::NOT_FOUND, NOT_HERE).into_response() };
    let changed = filter(body).and_then(|text| {
        let limit = limit(query.as_deref().unwrap_or_default())?;
        let filter = Filter::new(&text, &format!("PUT /log by {operator}"));
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

    #[test]
    fn a_change_for_a_time_is_bounded() {
        assert_eq!(limit(""), Ok(None));
        assert_eq!(limit("for=10m"), Ok(Some(Duration::from_secs(600))));
        for query in ["for=10", "for=25h", "for=0s", "for=", "until=10m"] {
            assert_eq!(limit(query).unwrap_err().0, StatusCode::BAD_REQUEST, "{query}");
        }
    }
}
