//! What observers are told of requests.

use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::admin::Operator;
use crate::event::{ApiEvent, Observers};

/// Puts orders in, by the thousand: no decision of a person.
const INTAKE: [&str; 2] = ["/api/v1/orders", "/api/v1/orders/batch"];

/// Tells of a request, and of who has decided what.
pub(super) async fn tell(State(observers): State<Observers>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    let method = parts.method.clone();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    // The router has cut its beginning off. The route alone would not name the job.
    let path = format!("/api/v1{}", parts.uri.path());
    let operator = Operator::from_request_parts(&mut parts, &()).await.ok();
    let response = next.run(Request::from_parts(parts, body)).await;
    let (status, route) = (response.status(), route.as_ref().map(MatchedPath::as_str));
    let (method, status) = (method.as_str(), status.as_u16());
    observers.emit(ApiEvent::Answered { method, route, status, took: began.elapsed() });
    let is_intake = route.is_some_and(|route| INTAKE.contains(&route));
    if let Some(by) = operator
        && method == Method::POST.as_str()
        && !is_intake
        && !(400..500).contains(&status)
    {
        observers.emit(ApiEvent::Decided { by: &by.to_string(), path: &path, status });
    }
    response
}
