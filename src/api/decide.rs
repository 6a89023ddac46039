//! What operators decide about orders and dead letters that they name by their ids.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::{self, HoldSeconds, Id, Json, Plain, Time};
use super::parameters::Parameters;
use super::{Api, Open, Roles, decision};
use crate::admin::{Operator, Problem};
use crate::domain::order::OrderId;
use crate::operations::Unanswered;
use crate::operations::decide::Decide;
use crate::operations::documents::Document;
use crate::operations::documents::decisions::DecisionsDocument;
use crate::operations::documents::orders::EnqueuedDocument;
use crate::operations::enqueue::Enqueue;
use crate::operations::letters::{self, DecidedLetters};
use crate::operations::redrive::Redrive;
use crate::port::dead_letters::Decision;
use crate::port::decisions::{HoldEnd, Kind, Ruling};

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/orders/cancel", post(cancel))
        .route("/orders/hold", post(hold))
        .route("/orders/release", post(release))
        .route("/orders/enqueue", post(enqueue))
        .route("/dead-letters/retry", post(retry))
        .route("/dead-letters/discard", post(discard))
}

/// What is decided about, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    /// Which; one that is named twice counts once.
    #[schema(inline, min_items = 1, max_items = 1000)]
    ids: Vec<Id>,
    /// Reason, in your words: kept in the timeline, and with a dead letter.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What is held, for how long, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    /// Which orders; one that is named twice counts once.
    #[schema(inline, min_items = 1, max_items = 1000)]
    ids: Vec<Id>,
    /// Reason, in your words: kept in the timeline.
    #[schema(value_type = String, min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    why: Plain<500>,
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// By the database's clock; without an end if it is missing or null.
    #[schema(inline)]
    for_seconds: Option<HoldSeconds>,
    /// Until this time instead.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Time>,
}

/// Cancels orders that are not done
///
/// Of one that was being worked on nobody knows what the warehouse did: `unknown_at_fulfiller`, under its `idempotency_key`.
#[utoipa::path(post, path = "/api/v1/orders/cancel", tag = "orders", operation_id = "cancelOrders", request_body = Named,
    responses((status = 200, description = "What became of each", body = Document<DecisionsDocument>),
        (status = 409, description = "The table of orders can't say that an order is cancelled", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(named): Json<Named>,
) -> Result<Response, Problem> {
    query.none_left()?;
    decide(&api, Kind::Cancel, HoldEnd::Never, &operator, named).await
}

/// Holds orders: no worker begins them until they are released
///
/// One that is being worked on is held if it is tried again. A hold takes the place of the one before.
#[utoipa::path(post, path = "/api/v1/orders/hold", tag = "orders", operation_id = "holdOrders", request_body = Hold,
    responses((status = 200, description = "What became of each", body = Document<DecisionsDocument>),
        (status = 409, description = "Both ends are named", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn hold(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(hold): Json<Hold>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let Hold { ids, why, dry_run, for_seconds, until } = hold;
    let end = super::hold_end(for_seconds, until)?;
    decide(&api, Kind::Hold, end, &operator, Named { ids, why, dry_run }).await
}

/// Releases orders that are held, and pushes their messages
#[utoipa::path(post, path = "/api/v1/orders/release", tag = "orders", operation_id = "releaseOrders", request_body = Named,
    responses((status = 200, description = "What became of each", body = Document<DecisionsDocument>)))]
pub(super) async fn release(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(named): Json<Named>,
) -> Result<Response, Problem> {
    query.none_left()?;
    decide(&api, Kind::Release, HoldEnd::Never, &operator, named).await
}

async fn decide(api: &Api, kind: Kind, end: HoldEnd, operator: &Operator, named: Named) -> Result<Response, Problem> {
    let order_ids = body::order_ids(&named.ids)?;
    let (decision, dry_run) = (decision(operator, named.why), named.dry_run);
    api.decide(move |open| async move {
        let decide = Decide {
            queue: open.roles.producer.clone(),
            store: open.roles.decisions.clone(),
            activity: Some(open.roles.activity.clone()),
            ruling: Ruling { decision, dry_run },
            retrying: open.retrying(),
        };
        let decisions = match kind {
            Kind::Cancel => decide.cancel(&order_ids).await?,
            Kind::Hold => decide.hold(&order_ids, end).await,
            Kind::Release => decide.release(&order_ids).await,
        };
        match decisions.ended {
            Some(error) if decisions.orders.is_empty() => Err(error.into()),
            _ => Ok(DecisionsDocument::new(kind, end, dry_run, &decisions)),
        }
    })
    .await
}

/// Pushes the messages of orders again
///
/// Of those that are `pending`, or `processing` although their worker's lease is over. A message too many does no harm.
#[utoipa::path(post, path = "/api/v1/orders/enqueue", tag = "orders", operation_id = "enqueueOrders", request_body = Named,
    responses((status = 200, description = "What became of each", body = Document<EnqueuedDocument>)))]
pub(super) async fn enqueue(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(named): Json<Named>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let mut ids = body::ids(&named.ids)?;
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(*id));
    let (decision, dry_run) = (decision(&operator, named.why), named.dry_run);
    api.decide(move |open| async move {
        let retrying = open.retrying();
        let roles = open.roles;
        let enqueue = Enqueue {
            queue: roles.producer,
            search: roles.search,
            reports: roles.reports,
            notes: roles.notes,
            activity: roles.activity,
            lease: roles.lease,
            retrying,
        };
        let order_ids: Vec<OrderId> = ids.iter().copied().map(OrderId).collect();
        let answers = enqueue.orders(&order_ids, &decision, dry_run).await.map_err(|error| match error {
            Unanswered::Queue(error) => Problem::from(error),
            Unanswered::Store(error) => error.into(),
        })?;
        Ok(EnqueuedDocument::new(&ids, &answers, dry_run))
    })
    .await
}

/// Retries the orders of dead letters
///
/// Moves each order from `failed` to `pending` and pushes its message. It keeps its idempotency key and its timeline.
#[utoipa::path(post, path = "/api/v1/dead-letters/retry", tag = "dead letters", operation_id = "retryDeadLetters", request_body = Named,
    responses((status = 200, description = "What became of each", body = Document<DecidedLetters>)))]
pub(super) async fn retry(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(named): Json<Named>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let ids = body::ids(&named.ids)?;
    let (decision, dry_run) = (decision(&operator, named.why), named.dry_run);
    api.decide(move |open| async move { Ok(letters::retry(&redrive(open, decision), &ids, dry_run).await?) }).await
}

/// Discards dead letters: closes them without a retry
///
/// Their orders stay as they are.
#[utoipa::path(post, path = "/api/v1/dead-letters/discard", tag = "dead letters", operation_id = "discardDeadLetters", request_body = Named,
    responses((status = 200, description = "What became of each", body = Document<DecidedLetters>)))]
pub(super) async fn discard(
    State(api): State<Api>,
    operator: Operator,
    query: Parameters,
    Json(named): Json<Named>,
) -> Result<Response, Problem> {
    query.none_left()?;
    let ids = body::ids(&named.ids)?;
    let (decision, dry_run) = (decision(&operator, named.why), named.dry_run);
    api.decide(move |open| async move {
        let Roles { dead_letters, activity, .. } = open.roles;
        Ok(letters::discard(&*dead_letters, &*activity, &decision, &ids, dry_run).await?)
    })
    .await
}

fn redrive(open: Open, decision: Decision) -> Redrive {
    let retrying = open.retrying();
    let Roles { producer, dead_letters, activity, .. } = open.roles;
    Redrive { queue: producer, store: dead_letters, activity: Some(activity), decision, retrying }
}
