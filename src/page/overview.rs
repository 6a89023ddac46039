//! The state of the service at a glance.

use axum::response::Response;
use maud::html;

use super::frame::Tab;
use super::visit::{Content, Visit};

pub(super) async fn show(visit: Visit) -> Response {
    let content = Content::new("Overview", html! { p { "…" } });
    visit.answer(Tab::Overview, Ok(content))
}
