//! Protects every route: requests without a body, answers that are neither stored nor reinterpreted.

use axum::extract::Request;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses a request that announces a body, and reads none of it, so that a body costs nothing.
pub(super) async fn refuse_bodies(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let announced = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if announced || headers.contains_key(header::TRANSFER_ENCODING) {
        let close = [(header::CONNECTION, "close")];
        return (StatusCode::PAYLOAD_TOO_LARGE, close, "a request here has no body\n").into_response();
    }
    next.run(request).await
}

/// Adds the headers that keep caches and browsers from storing an answer or guessing its type.
pub(super) async fn guard(response: Response) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 2] =
        [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, response)
}
