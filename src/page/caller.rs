//! Asks the API of this process.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Extensions, Method, Request, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tower_service::Service;

/// More than the longest document of a page has.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// How long the API is asked again that has too much to do, before a page says so.
const PATIENCE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }
}

/// What a refusal of the API says (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Asks with the rights of the client of one request.
pub(super) struct Caller {
    api: Router,
    client: Extensions,
}

impl Caller {
    /// With the rights that `client` says, as of [`crate::admin::on_behalf`].
    pub(super) fn new(api: Router, client: Extensions) -> Self {
        Self { api, client }
    }

    /// The document at a path below `/api/v1`, with its query.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let began = Instant::now();
        loop {
            match self.ask(Method::GET, path, String::new()).await {
                Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, .. }) if began.elapsed() < PATIENCE => {
                    sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// What came of a decision.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Refusal> {
        let body = serde_json::to_string(body).map_err(unreadable)?;
        self.ask(Method::POST, path, body).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: String) -> Result<T, Refusal> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(unreadable)?;
        *request.extensions_mut() = self.client.clone();
        // A router is always ready.
        let Ok(answer) = self.api.clone().call(request).await;
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), MOST_BYTES).await.map_err(unreadable)?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(unreadable);
        }
        let detail = match serde_json::from_slice(&bytes) {
            Ok(Problem { detail }) => detail,
            Err(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        };
        Err(Refusal { status, detail })
    }
}

/// A fault of this program.
fn unreadable(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the API's answer can't be read: {error}"))
}
