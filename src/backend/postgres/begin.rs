//! Takes orders into work.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::{PostgresStore, bisect, column, is_locked, rows_by_order, small};
use crate::domain::order::{Fence, Order, State};
use crate::port::store::{BeginRequest, Begun, TAKEN_OVER};

use super::timestamp::{micros, seconds};

/// How often the statement runs at most, for rows that changed between its snapshot and their lock.
const PASSES: usize = 5;

/// What one run of the statement says about a row.
enum Found {
    /// The answer.
    Answer(Begun),
    /// The row became free while the statement ran, too late for its snapshot.
    BecameFree,
}

/// Answers by position; the second request for an order that was started is busy.
pub(super) async fn begin(store: &PostgresStore, requests: &[BeginRequest]) -> Result<Vec<Begun>, Failure> {
    let mut firsts: BTreeMap<i64, usize> = BTreeMap::new();
    for (position, request) in requests.iter().enumerate() {
        firsts.entry(request.order_id.0).or_insert(position);
    }
    let mut answers: HashMap<i64, Begun> = HashMap::with_capacity(firsts.len());
    let mut open: Vec<&BeginRequest> = firsts.values().filter_map(|&position| requests.get(position)).collect();
    for _ in 0..PASSES {
        let found = bisect::run(&open, |part| run(store, part).boxed()).await?;
        let mut again = Vec::new();
        for (&request, found) in open.iter().zip(found) {
            match found {
                Ok(Found::Answer(answer)) => {
                    answers.insert(request.order_id.0, answer);
                }
                Ok(Found::BecameFree) => again.push(request),
                Err(reason) => {
                    answers.insert(request.order_id.0, Begun::Refused(reason));
                }
            }
        }
        open = again;
        if open.is_empty() {
            break;
        }
    }
    Ok(requests
        .iter()
        .enumerate()
        .map(|(position, request)| match answers.get(&request.order_id.0) {
            Some(Begun::Started { .. }) if firsts.get(&request.order_id.0) != Some(&position) => {
                Begun::Busy(store.lease)
            }
            Some(answer) => answer.clone(),
            None => Begun::Refused("the row stays as it is: does a trigger on orders suppress updates?".to_owned()),
        })
        .collect())
}

/// Runs the statement once, for orders that are all different.
async fn run(store: &PostgresStore, requests: &[&BeginRequest]) -> Result<Vec<Found>, Failure> {
    let statements = store.statements().await?;
    let ids: Vec<i64> = requests.iter().map(|request| request.order_id.0).collect();
    let attempts: Vec<i32> = requests.iter().map(|request| small(request.attempt)).collect();
    let correlation_ids: Vec<_> =
        requests.iter().map(|request| request.correlation_id.as_deref().map(|id| statements.storable(id))).collect();
    let rows = store
        .connections
        .query(
            &statements.begin,
            &[
                (&ids, Type::INT8_ARRAY),
                (&attempts, Type::INT4_ARRAY),
                (&correlation_ids, Type::TEXT_ARRAY),
                (&store.lease.as_secs_f64(), Type::FLOAT8),
                (&store.worker.as_str(), Type::TEXT),
                (&store.events, Type::BOOL),
                (&TAKEN_OVER, Type::TEXT),
            ],
        )
        .await?;
    let rows = rows_by_order(rows)?;
    store.notice_stuck_fences(&rows)?;
    requests
        .iter()
        .map(|request| match rows.get(&request.order_id.0) {
            Some(row) => read(row, request, store.lease),
            None => Ok(Found::Answer(Begun::Unknown)),
        })
        .collect()
}

/// Reads what the statement says about one row.
fn read(row: &Row, request: &BeginRequest, lease: Duration) -> Result<Found, Failure> {
    if is_locked(row)? {
        return Ok(Found::Answer(Begun::Locked));
    }
    // A null status is nobody's, so it isn't ours.
    let status = column::<Option<String>>(row, "found_status")?.unwrap_or_else(|| "null".to_owned());
    let found = State::from(status.as_str());
    if let Some(fence) = column::<Option<SystemTime>>(row, "fence")? {
        let created_at = column::<Option<SystemTime>>(row, "created_at")?;
        return Ok(Found::Answer(Begun::Started {
            order: Order {
                id: request.order_id,
                product_id: column(row, "product_id")?,
                product: column(row, "product")?,
                quantity: column(row, "quantity")?,
                created_at_micros: created_at.map(micros),
                attempt: request.attempt,
                correlation_id: request.correlation_id.clone(),
                traceparent: None,
            },
            fence: Fence(micros(fence)),
            takeover: found == State::Processing,
            waited: seconds(row, "waited")?,
        }));
    }
    Ok(match found {
        State::Fulfilled | State::Failed => Found::Answer(Begun::AlreadyFinal(found)),
        State::Foreign(status) => Found::Answer(Begun::NotOurs(status)),
        State::Pending => Found::BecameFree,
        State::Processing => match seconds(row, "idle")? {
            Some(idle) => Found::Answer(Begun::Busy(lease.saturating_sub(idle))),
            None => Found::BecameFree,
        },
    })
}
