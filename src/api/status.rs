//! Queue and orders at a glance.

use axum::Router;
use axum::extract::State;
use axum::response::Response;

use super::parameters::Parameters;
use super::{Api, reading};
use crate::admin::Problem;
use crate::operations::documents::Document;
use crate::operations::documents::status::StatusDocument;
use crate::operations::status;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/status", reading(show))
}

/// Shows the length of the queue, the orders in each state, and the age of the oldest
///
/// Reads the whole table of orders: for people, and not for every second.
#[utoipa::path(get, path = "/api/v1/status", tag = "orders", operation_id = "getStatus",
    responses((status = 200, description = "At a glance", body = Document<StatusDocument>)))]
pub(super) async fn show(State(api): State<Api>, query: Parameters) -> Result<Response, Problem> {
    query.none_left()?;
    api.answer(move |open| async move {
        let roles = open.roles;
        let status = status::status(&*roles.queue, &*roles.reports, &*roles.controls, &*roles.jobs, roles.place).await;
        match &status.problem {
            Some(problem) if status.says_nothing() => Err(Problem::unavailable(problem, 5)),
            _ => Ok(status),
        }
    })
    .await
}
