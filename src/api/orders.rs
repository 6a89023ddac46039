//! Orders: a list, and one with its timeline.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::parameters::{self, Parameters, no_such_page, words};
use super::{Api, reading};
use crate::admin::Problem;
use crate::domain::order::{OrderId, State as OrderState};
use crate::operations::documents::Document;
use crate::operations::documents::orders::{HistoryDocument, OrdersDocument};
use crate::operations::history::History;
use crate::operations::search::{self, Cursor, ListError};
use crate::port::search::OrderFilter;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/orders", reading(list)).route("/orders/{id}", reading(show))
}

/// A status of a row: one of the worker's, or another program's.
#[derive(Serialize, ToSchema)]
#[schema(example = "pending", min_length = 1, max_length = 50, pattern = "^[^\\u0000]*$")]
pub(super) struct StateName(String);

/// Which orders, and which page of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by its names, for errors that name each")]
struct OrdersQuery {
    /// Only orders in this state; several may be named.
    state: Option<Vec<StateName>>,
    /// Only orders created longer ago than this, by the database's clock.
    #[param(minimum = 0, maximum = 315576000)]
    older_than_seconds: Option<u32>,
    /// Only orders created at most this long ago.
    #[param(minimum = 0, maximum = 315576000)]
    newer_than_seconds: Option<u32>,
    /// Only orders of this product.
    #[param(minimum = 1, maximum = 9223372036854775807_i64)]
    product_id: Option<i64>,
    /// Only orders whose message had this correlation id. It is looked for in the timelines: one begins with an order's first
    /// attempt.
    #[param(min_length = 1, max_length = 256, pattern = "^[^\\u0000]*$")]
    correlation_id: Option<String>,
    /// `next_cursor` of the page before, with the same filters.
    cursor: Option<String>,
    /// Elements of a page, at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// Lists orders, the newest first
///
/// No list reads the whole table: one that takes longer than two seconds ends with what it has found, and says where to go on.
#[utoipa::path(get, path = "/api/v1/orders", tag = "orders", operation_id = "listOrders", params(OrdersQuery),
    responses((status = 200, description = "A page", body = Document<OrdersDocument>)))]
pub(super) async fn list(State(api): State<Api>, mut query: Parameters) -> Result<Response, Problem> {
    let filter = OrderFilter {
        states: query.many("state", |text| words(50)(text).map(|text| OrderState::from(text.as_str())))?,
        older_than: query.age("older_than_seconds")?,
        newer_than: query.age("newer_than_seconds")?,
        product_id: query.number("product_id", 1..=i64::MAX)?,
        correlation_id: query.one("correlation_id", words(256))?,
    };
    let limit = query.limit()?;
    let cursor = query.cursor()?.map(|text| text.parse::<Cursor>().map_err(no_such_page)).transpose()?;
    api.answer(|open| async move {
        let roles = open.roles;
        let page = search::page(&*roles.search, &*roles.reports, &filter, cursor.as_ref(), limit).await;
        let page = page.map_err(|error| match error {
            ListError::Cursor(problem) => no_such_page(problem),
            ListError::Store(error) => error.into(),
        })?;
        Ok(OrdersDocument::from(&page))
    })
    .await
}

/// Shows an order with its timeline and its dead letters
#[utoipa::path(get, path = "/api/v1/orders/{id}", tag = "orders", operation_id = "getOrder",
    params(("id" = i64, Path, description = "Key of the row", minimum = 1, maximum = 9223372036854775807_i64)),
    responses((status = 200, description = "The order", body = Document<HistoryDocument>)))]
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Parameters,
) -> Result<Response, Problem> {
    query.none_left()?;
    let id = parameters::id(&id)?;
    api.answer(move |open| async move {
        let history = History::of(&*open.roles.reports, &*open.roles.dead_letters, OrderId(id)).await?;
        let history =
            history.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("order {id} does not exist")))?;
        Ok(HistoryDocument::from(&history))
    })
    .await
}
