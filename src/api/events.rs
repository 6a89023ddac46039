//! Transitions of orders as they happen.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use utoipa::IntoParams;

use super::parameters::{Parameters, no_such_page};
use super::{Api, reading};
use crate::admin::Problem;
use crate::operations::documents::Document;
use crate::operations::documents::events::{EventsDocument, TransitionDocument};
use crate::operations::events;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/events", reading(list))
}

/// Where to go on.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by its names, for errors that name each")]
struct EventsQuery {
    /// `next_cursor` of the answer before; without it, the answer says where now is.
    cursor: Option<String>,
    /// Transitions in the answer, at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// Lists the transitions of orders since the answer before, in the order in which they became visible
///
/// The first answer has none, and says where now is. An answer that is not full is the last one for now: come again after a while,
/// within ten minutes, or transitions may be left out. Reads the timeline, which `--events off` doesn't keep.
#[utoipa::path(get, path = "/api/v1/events", tag = "orders", operation_id = "listEvents", params(EventsQuery),
    responses((status = 200, description = "What happened", body = Document<EventsDocument>)))]
pub(super) async fn list(State(api): State<Api>, mut query: Parameters) -> Result<Response, Problem> {
    let limit = query.limit()?;
    let cursor = query.cursor()?.map(|text| events::position(&text).map_err(no_such_page)).transpose()?;
    api.answer(move |open| async move {
        let mut position = cursor.unwrap_or_default();
        let transitions = open.roles.feed.next(&mut position, limit).await?;
        let events = transitions.iter().map(TransitionDocument::from).collect();
        Ok(EventsDocument { events, next_cursor: events::cursor(position) })
    })
    .await
}
