//! One call to ship something, from its arrival to its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use tokio::time::{sleep, timeout};

use super::Warehouse;
use super::answer::{Answer, Reply};
use super::behaviour::{Behaviour, Fate};
use super::ledger::{Standing, reference};
use super::problem::Problem;
use super::record::Done;
use super::shipment::{self, Shipment};

/// For sending a whole body.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// What a caller is told to wait while its order is worked on.
const PAUSE_SECONDS: u64 = 1;

/// Answers a call, and has it in numbers and record before it does.
pub(super) async fn answer(warehouse: &Arc<Warehouse>, behaviour: &Behaviour, request: Request) -> Answer {
    let _in_flight = warehouse.in_flight.enter();
    let outcome = match admit(warehouse, request).await {
        Ok(shipment) => decide(warehouse, behaviour, shipment).await,
        Err(problem) => refuse(warehouse, &problem),
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!(%error, "the record can't be written");
        let detail = format!("the record can't be written: {error}");
        Answer::Reply(Reply::problem(&Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)))
    })
}

/// Where the status of an order is.
pub(super) fn location(key: &str) -> String {
    format!("/shipments/{key}")
}

pub(super) fn shipped(number: u64) -> String {
    format!(r#"{{"reference":"{}"}}"#, reference(number))
}

pub(super) fn in_progress(status: StatusCode) -> Reply {
    Reply::json(status, r#"{"status":"in progress"}"#.to_owned())
}

async fn admit(warehouse: &Warehouse, request: Request) -> Result<Shipment, Problem> {
    warehouse.access.check_token(request.headers())?;
    let headers = request.headers().clone();
    let key = shipment::check_headers(&headers)?;
    let body = timeout(BODY_LIMIT, Bytes::from_request(request, &()))
        .await
        .map_err(|_| Problem::of(StatusCode::REQUEST_TIMEOUT, "body", "did not come within 30 s"))?
        .map_err(|rejection| Problem::of(rejection.status(), "body", rejection.body_text()))?;
    warehouse.access.check_signature(&headers, &key, &body)?;
    shipment::check_body(key, &body)
}

fn refuse(warehouse: &Warehouse, problem: &Problem) -> io::Result<Answer> {
    let done = if problem.status == StatusCode::UNAUTHORIZED { Done::Unauthorized } else { Done::Invalid };
    warehouse.ledger().note(None, done, Some(problem.status.as_u16()))?;
    Ok(Answer::Reply(Reply::problem(problem)))
}

async fn decide(warehouse: &Arc<Warehouse>, behaviour: &Behaviour, shipment: Shipment) -> io::Result<Answer> {
    let before = warehouse.ledger().arrive(&shipment.key);
    let draw = behaviour.draw(warehouse.seed, &shipment.key, before);
    if let Some(answer) = turn_away(warehouse, behaviour, &shipment, draw.fate)? {
        return Ok(answer);
    }
    let standing = {
        let mut ledger = warehouse.ledger();
        let standing = if behaviour.honour_keys { ledger.standing(&shipment.key) } else { Standing::Unknown };
        if standing == Standing::Unknown {
            ledger.take(&shipment.key);
        }
        standing
    };
    match (standing, behaviour.finish_after) {
        (Standing::Shipped(number), _) => {
            let reply = Reply::json(StatusCode::OK, shipped(number));
            note_and_end(warehouse, behaviour, &shipment, Done::Repeated, draw.fate, reply).await
        }
        (Standing::InProgress, None) => {
            let problem = Problem::of(StatusCode::CONFLICT, "Idempotency-Key", "this order is being worked on");
            let reply = Reply::problem(&problem).retry_after(Some(PAUSE_SECONDS));
            note_and_end(warehouse, behaviour, &shipment, Done::InProgress, draw.fate, reply).await
        }
        (Standing::InProgress, Some(_)) => {
            let reply = in_progress(StatusCode::ACCEPTED).location(location(&shipment.key));
            note_and_end(warehouse, behaviour, &shipment, Done::Accepted, draw.fate, reply).await
        }
        (Standing::Unknown, Some(wait)) => {
            let reply = in_progress(StatusCode::ACCEPTED).location(location(&shipment.key));
            let noted = note_and_end(warehouse, behaviour, &shipment, Done::Accepted, draw.fate, reply);
            let work = work(Arc::clone(warehouse), shipment.clone(), wait + draw.latency, Done::Finished, None);
            tokio::spawn(async move {
                if let Err(error) = work.await {
                    tracing::error!(%error, "the record can't be written: an order was not finished");
                }
            });
            noted.await
        }
        (Standing::Unknown, None) => {
            let (done, status) = with_fate(Done::Shipped, StatusCode::CREATED, draw.fate);
            let work = work(Arc::clone(warehouse), shipment, draw.latency, done, status);
            // In a task of its own, work goes on when the caller hangs up; without a pause it can't be interrupted.
            let number = if draw.latency.is_zero() {
                work.await?
            } else {
                tokio::spawn(work).await.map_err(io::Error::other)??
            };
            Ok(end(warehouse, behaviour, draw.fate, Reply::json(StatusCode::CREATED, shipped(number))).await)
        }
    }
}

/// What ends a call before its order is taken.
fn turn_away(
    warehouse: &Warehouse,
    behaviour: &Behaviour,
    shipment: &Shipment,
    fate: Fate,
) -> io::Result<Option<Answer>> {
    let (done, reply) = match (fate, &behaviour.redirect) {
        (Fate::CutBefore, _) => (Done::CutBefore, None),
        (Fate::Error, _) => {
            let status = StatusCode::from_u16(behaviour.error_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let reply = Reply::problem(&Problem::new(status, "this error was asked for"));
            (Done::Error, Some(reply.retry_after(behaviour.error_retry_after_seconds)))
        }
        (_, Some(target)) => {
            let problem = Problem::new(StatusCode::TEMPORARY_REDIRECT, "shipments are taken elsewhere");
            (Done::Redirected, Some(Reply::problem(&problem).location(target.clone())))
        }
        _ if behaviour.rejects(shipment.product_id) => {
            let detail = format!("product {} is not shipped", shipment.product_id);
            let problem = Problem::of(StatusCode::UNPROCESSABLE_ENTITY, "product_id", detail);
            (Done::Rejected, Some(Reply::problem(&problem)))
        }
        _ => return Ok(None),
    };
    warehouse.ledger().note(Some(shipment), done, reply.as_ref().map(|reply| reply.status.as_u16()))?;
    Ok(Some(reply.map_or(Answer::Cut, Answer::Reply)))
}

/// Ships an order that was taken, `after` some time.
async fn work(
    warehouse: Arc<Warehouse>,
    shipment: Shipment,
    after: Duration,
    done: Done,
    status: Option<u16>,
) -> io::Result<u64> {
    if !after.is_zero() {
        sleep(after).await;
    }
    warehouse.ledger().ship(&shipment, done, status)
}

/// For a call that ships nothing.
async fn note_and_end(
    warehouse: &Warehouse,
    behaviour: &Behaviour,
    shipment: &Shipment,
    done: Done,
    fate: Fate,
    reply: Reply,
) -> io::Result<Answer> {
    let (done, status) = with_fate(done, reply.status, fate);
    warehouse.ledger().note(Some(shipment), done, status)?;
    Ok(end(warehouse, behaviour, fate, reply).await)
}

/// What the record says of a call, whose answer may not come.
fn with_fate(done: Done, status: StatusCode, fate: Fate) -> (Done, Option<u16>) {
    match fate {
        Fate::CutAfter => (Done::CutAfter, None),
        Fate::Hang => (Done::Hung, None),
        Fate::Nothing | Fate::CutBefore | Fate::Error => (done, Some(status.as_u16())),
    }
}

async fn end(warehouse: &Warehouse, behaviour: &Behaviour, fate: Fate, reply: Reply) -> Answer {
    match fate {
        Fate::CutAfter => Answer::Cut,
        Fate::Hang => {
            // Most callers give up before, which drops this future.
            let _ = warehouse.closing.run_until_cancelled(sleep(behaviour.hang_limit)).await;
            Answer::Cut
        }
        Fate::Nothing | Fate::CutBefore | Fate::Error => Answer::Reply(reply),
    }
}
