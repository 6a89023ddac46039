//! Protects every route: requests without a body, answers that are neither stored nor reinterpreted.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::is_changing;
use super::problem::API;

/// As [`refuse_bodies`], but for the API, which says first whether it has such a path and method, and for what changes something.
pub(super) async fn refuse_needless_bodies(request: Request, next: Next) -> Response {
    match request.uri().path().starts_with(API) || is_changing(request.method(), request.uri()) {
        true => next.run(request).await,
        false => refuse_bodies(request, next).await,
    }
}

/// Refuses a request that announces a body, and reads none of it, so that a body costs nothing.
pub(crate) async fn refuse_bodies(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let announced = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if announced || headers.contains_key(header::TRANSFER_ENCODING) {
        let close = [(header::CONNECTION, "close")];
        return (StatusCode::PAYLOAD_TOO_LARGE, close, "a request here has no body\n").into_response();
    }
    next.run(request).await
}

/// What everything but the page allows itself.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds the headers that keep caches and browsers from storing an answer, guessing its type, running anything in it, showing
/// it in another site's page, and telling another site where they come from.
pub(super) async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // Files of the page are kept: their names change with them.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A browser that tells nobody where a form comes from says `Origin: null`, which the gate refuses.
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    // The page has one of its own, and the web configuration may.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    response
}
