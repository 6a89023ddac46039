//! What each path answers.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::answer::Reply;
use super::behaviour::Behaviour;
use super::call::{self, in_progress, location};
use super::ledger::Standing;
use super::problem::Problem;
use super::{Stats, Warehouse};

/// Of a shipment and of a behaviour: both are much smaller.
const MAX_BODY_BYTES: usize = 64 * 1024;

const PATHS: &str = "there is POST /shipments, GET /shipments/{key}, GET and PUT /behaviour, GET /stats, GET /health";

pub(super) fn router(warehouse: Arc<Warehouse>) -> Router {
    Router::new()
        .route("/shipments", post(ship))
        .route("/shipments/{key}", get(status))
        .route("/behaviour", get(behaviour).put(behave))
        .route("/stats", get(stats))
        .route("/health", get(|| async { "ok" }))
        .fallback(|_: HasToken| async { problem(StatusCode::NOT_FOUND, PATHS) })
        .method_not_allowed_fallback(|_: HasToken| async { problem(StatusCode::METHOD_NOT_ALLOWED, PATHS) })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(warehouse)
}

/// That whoever asks has the token.
struct HasToken;

impl FromRequestParts<Arc<Warehouse>> for HasToken {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, warehouse: &Arc<Warehouse>) -> Result<Self, Reply> {
        match warehouse.access.check_token(&parts.headers) {
            Ok(()) => Ok(Self),
            Err(problem) => Err(Reply::problem(&problem)),
        }
    }
}

fn problem(status: StatusCode, detail: &str) -> Reply {
    Reply::problem(&Problem::new(status, detail))
}

async fn ship(State(warehouse): State<Arc<Warehouse>>, request: Request) -> Response {
    let behaviour = warehouse.behaviour();
    call::answer(&warehouse, &behaviour, request).await.into_response(&behaviour)
}

async fn status(State(warehouse): State<Arc<Warehouse>>, Path(key): Path<String>, headers: HeaderMap) -> Reply {
    let access = &warehouse.access;
    if let Err(problem) = access.check_token(&headers).and_then(|()| access.check_signature(&headers, &key, b"")) {
        return Reply::problem(&problem);
    }
    let standing = warehouse.ledger().standing(&key);
    match standing {
        Standing::Shipped(number) => Reply::json(StatusCode::OK, call::shipped(number)),
        Standing::InProgress => in_progress(StatusCode::ACCEPTED).location(location(&key)),
        Standing::Unknown => problem(StatusCode::NOT_FOUND, "no order was taken under this key"),
    }
}

async fn behaviour(_: HasToken, State(warehouse): State<Arc<Warehouse>>) -> impl IntoResponse {
    Json(warehouse.behaviour().as_ref().clone())
}

/// Takes the whole behaviour anew: what is not said has its default.
async fn behave(_: HasToken, State(warehouse): State<Arc<Warehouse>>, body: Bytes) -> Response {
    let read = serde_json::from_slice::<Behaviour>(&body).map_err(|error| {
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Problem::new(status, error.to_string())
    });
    let checked = read.and_then(|behaviour| match behaviour.check() {
        Ok(()) => Ok(behaviour),
        Err(wrong) => Err(Problem::of(StatusCode::UNPROCESSABLE_ENTITY, wrong.field, wrong.to_string())),
    });
    match checked {
        Ok(behaviour) => {
            warehouse.behave(behaviour.clone());
            Json(behaviour).into_response()
        }
        Err(problem) => Reply::problem(&problem).into_response(),
    }
}

async fn stats(_: HasToken, State(warehouse): State<Arc<Warehouse>>) -> Json<Stats> {
    Json(warehouse.stats())
}
