//! The answer of each path.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use url::form_urlencoded;

use super::access::{Client, gate};
use super::guard::{guard, refuse_needless_bodies};
use super::problem::as_problems;
use super::scrape::{Scrapes, metrics};
use super::{Routes, log_route};
use crate::domain::label::Label;
use crate::domain::text;
use crate::event::Dependency;

/// More than there are dependencies; what follows is not read.
const MOST_EXCLUDED: usize = 16;

const PATHS: &str = "\
/         the operator's page
/metrics  metrics for Prometheus
/health   200 while the worker makes progress
/livez    liveness, a check for each loop
/readyz   readiness, a check for each dependency; ?exclude=NAME leaves one out of account
/log      what is logged; PUT changes it, for operators only
/api/v1   orders, dead letters and workers, as /api/v1/openapi.json describes, for users and operators only
";

/// Every path that is served.
pub(super) fn router(routes: Routes) -> Router {
    let (shown, of_health) = (Arc::clone(&routes.metrics), Arc::clone(&routes.health));
    let scrapes =
        Scrapes::new(routes.metrics.endpoint().clone(), move |format| shown.render(format, of_health.ready().ready));
    Router::new()
        .route("/metrics", get(metrics).with_state(scrapes))
        .route("/health", get(health))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(|| async { (StatusCode::NOT_FOUND, format!("not found; there is\n{PATHS}")) })
        .merge(log_route::router())
        .with_state(routes.clone())
        .merge(routes.page)
        .nest_service("/api/v1", routes.api)
        .layer(middleware::from_fn_with_state(routes.access, gate))
        .layer(middleware::from_fn(refuse_needless_bodies))
        .layer(middleware::from_fn(as_problems))
        .layer(middleware::map_response(guard))
}

async fn health(State(routes): State<Routes>) -> impl IntoResponse {
    match routes.health.live() {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn livez(State(routes): State<Routes>) -> impl IntoResponse {
    let liveness = routes.health.liveness();
    (status(liveness.live), json(&liveness))
}

async fn readyz(
    State(routes): State<Routes>,
    Extension(client): Extension<Client>,
    RawQuery(query): RawQuery,
) -> Response {
    let excluded = match excluded(query.as_deref().unwrap_or_default()) {
        Ok(excluded) => excluded,
        Err(problem) => return (StatusCode::BAD_REQUEST, problem).into_response(),
    };
    let readiness = routes.health.ready_except(&excluded);
    let readiness = if client.sees_texts { readiness } else { readiness.without_texts() };
    (status(readiness.ready), json(&readiness)).into_response()
}

/// The dependencies of `exclude=NAME`, which may be there several times.
///
/// # Errors
/// Names one that there is not: a probe with a slip in it would otherwise wait for what it was told to leave out.
fn excluded(query: &str) -> Result<Vec<Dependency>, String> {
    let named = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "exclude");
    let dependency = |(_, value): (Cow<'_, str>, Cow<'_, str>)| {
        Dependency::all().find(|each| value == each.as_str()).ok_or_else(|| {
            let names = Dependency::all().map(|each| each.as_str()).collect::<Vec<_>>().join(", ");
            format!("?exclude={} leaves nothing out: it is one of {names}\n", text::lines(&value))
        })
    };
    named.take(MOST_EXCLUDED).map(dependency).collect()
}

/// Readers show what others wrote in it on a terminal.
fn json(report: &impl Serialize) -> Response {
    // Names, numbers and texts: there is nothing here that JSON can't say.
    let text = serde_json::to_string(report).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text::json(&text).into_owned()).into_response()
}

fn status(ok: bool) -> StatusCode {
    if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
