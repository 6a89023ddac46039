//! The page's two files. Their names change with their content, so that browsers keep them.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha1_smol::Sha1;
use tower_http::compression::CompressionLayer;

use super::Page;

const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");

/// The paths of the style and of the script.
pub(super) static PATHS: LazyLock<[String; 2]> = LazyLock::new(|| {
    [("css", STYLE), ("js", SCRIPT)].map(|(kind, text)| format!("/assets/page.{}.{kind}", fingerprint(text)))
});

fn fingerprint(text: &str) -> String {
    Sha1::from(text).digest().to_string().chars().take(10).collect()
}

pub(super) fn router() -> Router<Page> {
    Router::new().route("/assets/{file}", get(file)).layer(CompressionLayer::new())
}

async fn file(Path(file): Path<String>) -> Response {
    let [style, script] = &*PATHS;
    let (kind, text) = match format!("/assets/{file}") {
        path if path == *style => ("text/css; charset=utf-8", STYLE),
        path if path == *script => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return (StatusCode::NOT_FOUND, "this file is of another version; load the page again\n").into_response(),
    };
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, kept)], text).into_response()
}
