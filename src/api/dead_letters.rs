//! Dead letters: a list, groups by what went wrong, and one with its message.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::IntoParams;

use super::parameters::{self, Parameters, words};
use super::{Api, reading};
use crate::admin::Problem;
use crate::domain::dead_letter::DeadReason;
use crate::domain::fingerprint::MOST_CHARS;
use crate::domain::label::Label;
use crate::domain::order::OrderId;
use crate::operations::cursor::List;
use crate::operations::documents::Document;
use crate::operations::documents::letters::{GROUPS, GroupsDocument, LETTERS, LettersDocument, WholeLetterDocument};
use crate::operations::groups::groups;
use crate::operations::matching;
use crate::port::dead_letters::{DeadLetterFilter, DeadLetterSelection};

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/dead-letters", reading(list))
        .route("/dead-letters/{id}", reading(show))
        .route("/dead-letter-groups", reading(grouped))
}

/// Which dead letters, and which page of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by its names, for errors that name each")]
struct LettersQuery {
    /// Only letters with this reason; several may be named.
    reason: Option<Vec<super::reason::Reason>>,
    /// Only letters stored longer ago than this, by the database's clock.
    #[param(minimum = 0, maximum = 315576000)]
    older_than_seconds: Option<u32>,
    /// Only letters stored at most this long ago.
    #[param(minimum = 0, maximum = 315576000)]
    newer_than_seconds: Option<u32>,
    /// Only letters of orders of this product.
    #[param(minimum = 1, maximum = 9223372036854775807_i64)]
    product_id: Option<i64>,
    /// Only letters of this order.
    #[param(minimum = 1, maximum = 9223372036854775807_i64)]
    order_id: Option<i64>,
    /// Only letters whose errors have this in common, as `/dead-letter-groups` shows it.
    #[param(min_length = 1, max_length = 200)]
    fingerprint: Option<String>,
    /// Those with a decision instead of those without one.
    #[param(default = false)]
    resolved: Option<bool>,
    /// `next_cursor` of the page before, with the same filters.
    cursor: Option<String>,
    /// Elements of a page, at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// Where a page begins without a cursor.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by its name")]
struct AfterQuery {
    /// Only letters with an id above this, unless `cursor` says more.
    #[param(minimum = 0, maximum = 9223372036854775807_i64, default = 0)]
    after_id: Option<i64>,
}

fn selection(query: &mut Parameters) -> Result<DeadLetterSelection, Problem> {
    let reason = |text: &str| {
        let known = || DeadReason::all().map(DeadReason::as_str).collect::<Vec<_>>().join(", ");
        DeadReason::from_label(text).ok_or_else(|| format!("must be one of {}", known()))
    };
    let resolved = |text: &str| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    };
    let filter = DeadLetterFilter {
        reasons: query.many("reason", reason)?,
        older_than: query.age("older_than_seconds")?,
        newer_than: query.age("newer_than_seconds")?,
        product_id: query.number("product_id", 1..=i64::MAX)?,
        order_id: query.number("order_id", 1..=i64::MAX)?.map(OrderId),
        resolved: Some(query.one("resolved", resolved)?.unwrap_or_default()),
        ..DeadLetterFilter::default()
    };
    Ok(DeadLetterSelection { filter, fingerprint: query.one("fingerprint", words(MOST_CHARS))? })
}

/// Lists dead letters, oldest first
///
/// By `fingerprint`, letters are read and compared for two seconds: a page that isn't full by then has a cursor that goes on.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "dead letters", operation_id = "listDeadLetters", params(LettersQuery, AfterQuery),
    responses((status = 200, description = "A page", body = Document<LettersDocument>)))]
pub(super) async fn list(State(api): State<Api>, mut query: Parameters) -> Result<Response, Problem> {
    let selection = selection(&mut query)?;
    let limit = query.limit()?;
    let above = query.number("after_id", 0..=i64::MAX)?;
    let after = query.position(&List(LETTERS, &selection))?.or(above).unwrap_or(0);
    api.answer(|open| async move {
        let page = matching::page(&*open.roles.dead_letters, &selection, after, limit).await?;
        Ok(LettersDocument::new(&page, &selection))
    })
    .await
}

/// Shows a dead letter with its message
#[utoipa::path(get, path = "/api/v1/dead-letters/{id}", tag = "dead letters", operation_id = "getDeadLetter",
    params(("id" = i64, Path, description = "Of the letter", minimum = 1, maximum = 9223372036854775807_i64)),
    responses((status = 200, description = "The letter", body = Document<WholeLetterDocument>)))]
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, Problem> {
    query.none_left()?;
    let id = parameters::id(&id)?;
    api.answer(move |open| async move {
        let filter = DeadLetterFilter { ids: Some(vec![id]), ..DeadLetterFilter::default() };
        let letters = open.roles.dead_letters.list(&filter, 0, 1).await?;
        let missing = || Problem::new(StatusCode::NOT_FOUND, format!("dead letter {id} does not exist"));
        letters.first().map(WholeLetterDocument::from).ok_or_else(missing)
    })
    .await
}

/// Groups dead letters by reason and by what their errors have in common, the largest group first
///
/// `looked` letters are read, the oldest ones, 50,000 at most. A group that grows between two pages may be on both or on none.
#[utoipa::path(get, path = "/api/v1/dead-letter-groups", tag = "dead letters", operation_id = "groupDeadLetters", params(LettersQuery),
    responses((status = 200, description = "A page", body = Document<GroupsDocument>)))]
pub(super) async fn grouped(State(api): State<Api>, mut query: Parameters) -> Result<Response, Problem> {
    let selection = selection(&mut query)?;
    let limit = query.limit()?;
    let skipped = query.position(&List(GROUPS, &selection))?.unwrap_or(0);
    api.answer(move |open| async move {
        let found = groups(&*open.roles.dead_letters, &selection).await?;
        Ok(GroupsDocument::page(found, &selection, skipped, limit))
    })
    .await
}
