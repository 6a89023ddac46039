//! Pages that a test serves itself.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tokio::net::TcpListener;

/// Allows what comes from the same server, and an icon in the page itself.
const POLICY: &str = "default-src 'self'; img-src 'self' data:";

/// A server of pages, for as long as the test runs.
pub(super) struct Served {
    url: String,
}

impl Served {
    /// Serves each body at its path, as styles or a script where the path says so, else as a page.
    pub(super) async fn start(bodies: &[(&'static str, &'static str)]) -> Self {
        let bodies: BTreeMap<&str, &str> = bodies.iter().copied().collect();
        let answer = async move |uri: Uri| {
            let body = bodies.get(uri.path()).copied();
            let kind = match uri.path().rsplit_once('.') {
                Some((_, "css")) => "text/css",
                Some((_, "js")) => "text/javascript",
                _ => "text/html; charset=utf-8",
            };
            Response::builder()
                .status(if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND })
                .header("content-type", kind)
                .header("content-security-policy", POLICY)
                .body(Body::from(body.unwrap_or_default()))
                .expect("an answer")
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { url }
    }

    /// Where a path is.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}
