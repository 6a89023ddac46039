//! What people did.

use axum::Router;
use axum::extract::State;
use axum::response::Response;

use super::fleet::PageQuery;
use super::parameters::Parameters;
use super::{Api, reading};
use crate::admin::Problem;
use crate::operations::cursor::List;
use crate::operations::documents::Document;
use crate::operations::documents::activity::{ActivityDocument, ActivityEntry};

pub(super) fn router() -> Router<Api> {
    Router::new().route("/activity", reading(list))
}

/// Lists what people did to workers, orders, dead letters and jobs, the newest first
///
/// The last 10,000 entries are kept. What a job did is in the job; the activity has who made it.
#[utoipa::path(get, path = "/api/v1/activity", tag = "fleet", operation_id = "listActivity", params(PageQuery),
    responses((status = 200, description = "A page", body = Document<ActivityDocument>)))]
pub(super) async fn list(State(api): State<Api>, mut query: Parameters) -> Result<Response, Problem> {
    let limit = query.limit()?;
    let list = List("activity", &());
    let before = query.position(&list)?.unwrap_or(i64::MAX);
    api.answer(move |open| async move {
        // One more says whether there is a next page.
        let mut found = open.roles.activity.activity(before, limit.saturating_add(1)).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more).map(|last| last.id.to_string());
        let next_cursor = last.map(|last| List("activity", &()).cursor(&last));
        Ok(ActivityDocument { activity: found.into_iter().map(ActivityEntry::from).collect(), next_cursor })
    })
    .await
}
