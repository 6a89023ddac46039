//! What metrics and log are told of requests.

use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::admin::Operator;
use crate::observe::metrics::ApiMetrics;

/// Puts orders in, by the thousand: no decision of a person.
const INTAKE: [&str; 2] = ["/api/v1/orders", "/api/v1/orders/batch"];

/// Counts a request, and logs who has decided what.
pub(super) async fn tell(State(metrics): State<ApiMetrics>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    let method = parts.method.clone();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    // The router has cut its beginning off. The route alone would not name the job.
    let path = format!("/api/v1{}", parts.uri.path());
    let operator = Operator::from_request_parts(&mut parts, &()).await.ok();
    let response = next.run(Request::from_parts(parts, body)).await;
    let (status, route) = (response.status(), route.as_ref().map(MatchedPath::as_str));
    metrics.answered(method.as_str(), route, status.as_u16(), began.elapsed());
    let is_intake = route.is_some_and(|route| INTAKE.contains(&route));
    if let Some(by) = operator
        && method == Method::POST
        && !is_intake
        && !status.is_client_error()
    {
        tracing::info!(%by, path, status = status.as_u16(), "an operator sent a decision to the API, or a dry run of one");
    }
    response
}
