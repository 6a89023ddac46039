//! Workers, and what operators have set for them.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use utoipa::IntoParams;

use super::parameters::Parameters;
use super::{Api, reading};
use crate::admin::Problem;
use crate::domain::label::Label;
use crate::operations::controls::{SetControlJson, WorkerJson};
use crate::operations::cursor::List;
use crate::operations::documents::Document;
use crate::operations::documents::fleet::{ControlsDocument, WorkersDocument};
use crate::port::controls::SetControl;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/workers", reading(workers)).route("/controls", reading(controls))
}

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by its names, for errors that name each")]
pub(super) struct PageQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Elements of a page, at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// Lists the workers that report to this store, and those that died within a day, in the order of their names
#[utoipa::path(get, path = "/api/v1/workers", tag = "fleet", operation_id = "listWorkers", params(PageQuery),
    responses((status = 200, description = "A page", body = Document<WorkersDocument>)))]
pub(super) async fn workers(State(api): State<Api>, mut query: Parameters) -> Result<Response, Problem> {
    let limit = query.limit()?;
    let after: Option<String> = query.position(&List("workers", &()))?;
    api.answer(move |open| async move {
        let mut workers = open.roles.controls.workers().await?;
        let set = open.roles.controls.controls().await?;
        workers.sort_unstable_by(|one, other| one.worker.cmp(&other.worker));
        let (page, next) = page(workers, |worker| worker.worker.clone(), after, limit);
        let next_cursor = next.map(|last| List("workers", &()).cursor(&last));
        Ok(WorkersDocument { workers: page.iter().map(|one| WorkerJson::of(one, &set)).collect(), next_cursor })
    })
    .await
}

/// Lists pauses and limits
#[utoipa::path(get, path = "/api/v1/controls", tag = "fleet", operation_id = "listControls", params(PageQuery),
    responses((status = 200, description = "A page", body = Document<ControlsDocument>)))]
pub(super) async fn controls(State(api): State<Api>, mut query: Parameters) -> Result<Response, Problem> {
    let limit = query.limit()?;
    let after: Option<String> = query.position(&List("controls", &()))?;
    api.answer(move |open| async move {
        let mut set = open.roles.controls.controls().await?;
        let key = |set: &SetControl| format!("{} {}", set.target.as_str(), set.control.as_str());
        set.sort_by_cached_key(key);
        let (page, next) = page(set, key, after, limit);
        let next_cursor = next.map(|last| List("controls", &()).cursor(&last));
        let controls = page.iter().map(SetControlJson::from).collect();
        Ok(ControlsDocument { changed: false, controls, next_cursor })
    })
    .await
}

/// The elements behind `after`, at most `limit`, and the key of the last one where more follow. `all` are in the order of
/// their keys.
fn page<T>(all: Vec<T>, key: impl Fn(&T) -> String, after: Option<String>, limit: usize) -> (Vec<T>, Option<String>) {
    let mut behind = all.into_iter().skip_while(|one| after.as_ref().is_some_and(|after| key(one) <= *after));
    let page: Vec<T> = behind.by_ref().take(limit).collect();
    let next = behind.next().and(page.last()).map(key);
    (page, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_each_element_once_also_where_one_goes_away_between_them() {
        let all = |without: &str| -> Vec<String> {
            ["a", "b", "c", "d", "e"].iter().filter(|one| **one != without).map(ToString::to_string).collect()
        };
        assert_eq!(page(all(""), String::clone, None, 2), (vec!["a".into(), "b".into()], Some("b".into())));
        assert_eq!(
            page(all("b"), String::clone, Some("b".into()), 2),
            (vec!["c".into(), "d".into()], Some("d".into()))
        );
        assert_eq!(page(all(""), String::clone, Some("d".into()), 2), (vec!["e".into()], None));
        assert_eq!(page(all(""), String::clone, None, 5).1, None);
        assert_eq!(page(all(""), String::clone, Some("e".into()), 5), (vec![], None));
    }
}
