//! Orders: a search, a list, and one with its timeline.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use self::list::Found;
use super::Page;
use super::caller::Refusal;
use super::frame::Tab;
use super::visit::Visit;

mod bars;
mod drawing;
mod list;
mod order;
mod sought;
mod steps;
mod timeline;

pub(super) fn router() -> Router<Page> {
    Router::new().route("/orders", get(list)).route("/orders/{id}", get(show))
}

async fn list(visit: Visit) -> Response {
    match list::found(&visit).await {
        Ok(Found::Order(id)) => (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/orders/{id}"))]).into_response(),
        Ok(Found::List(content)) => visit.answer(Tab::Orders, Ok(content)),
        Err(refusal) => visit.answer(Tab::Orders, Err(refusal)),
    }
}

async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    let content = match id.parse::<u64>() {
        Ok(id) => order::content(&visit, id).await,
        Err(_) => Err(Refusal::new(StatusCode::NOT_FOUND, format!("`{id}` is no order's id"))),
    };
    visit.answer(Tab::Orders, content)
}
