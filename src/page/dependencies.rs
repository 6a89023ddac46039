//! Dependencies.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::html;

use super::Page;
use super::frame::Tab;
use super::visit::{Content, Visit};

pub(super) fn router() -> Router<Page> {
    Router::new().route("/dependencies", get(show))
}

async fn show(visit: Visit) -> Response {
    visit.answer(Tab::Dependencies, Ok(Content::new("Dependencies", html! { p { "…" } })))
}
