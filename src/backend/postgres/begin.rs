//! Takes orders into work.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::sql::Parameter;
use super::transition::Form;
use super::{PostgresStore, bisect, column, decisions, is_locked, rows_by_order, small};
use crate::domain::order::{Fence, Order, State};
use crate::port::store::{BeginRequest, Begun, TAKEN_OVER};

use super::timestamp::{micros, seconds};

/// How often the statement runs at most, for rows that changed between its snapshot and their lock.
const PASSES: usize = 5;

/// What one run of a statement says about a row.
enum Found {
    /// The answer.
    Answer(Begun),
    /// Somebody holds the order, or did.
    Held,
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
    for number in 0..PASSES {
        // What changes under a statement that waits, again and again, is told for certain by one that locks it.
        let form = if number == 0 { Form::Waiting } else { Form::Passing };
        let mut pass = Pass { answers: &mut answers, held: Vec::new(), again: Vec::new() };
        pass.ask(store, Step::Begin(form), &open).await?;
        let held = std::mem::take(&mut pass.held);
        if !held.is_empty()
            && let Err(failure) = pass.ask(store, Step::TakeOver, &held).await
        {
            pass.leave_to_their_workers(&held, store.lease, failure)?;
        }
        open = pass.again;
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

/// What becomes of the orders that are asked for together.
struct Pass<'r, 'a> {
    answers: &'a mut HashMap<i64, Begun>,
    held: Vec<&'r BeginRequest>,
    again: Vec<&'r BeginRequest>,
}

impl<'r> Pass<'r, '_> {
    async fn ask(&mut self, store: &PostgresStore, step: Step, requests: &[&'r BeginRequest]) -> Result<(), Failure> {
        let found = bisect::run(requests, |part| run(store, step, part).boxed()).await?;
        for (&request, found) in requests.iter().zip(found) {
            match found {
                Ok(Found::Answer(answer)) => _ = self.answers.insert(request.order_id.0, answer),
                Ok(Found::Held) => self.held.push(request),
                Ok(Found::BecameFree) => self.again.push(request),
                Err(reason) => _ = self.answers.insert(request.order_id.0, Begun::Refused(reason)),
            }
        }
        Ok(())
    }

    /// A failure must not cost the orders that were started a moment ago: the others come again.
    fn leave_to_their_workers(
        &mut self,
        held: &[&'r BeginRequest],
        lease: Duration,
        failure: Failure,
    ) -> Result<(), Failure> {
        if !self.answers.values().any(|answer| matches!(answer, Begun::Started { .. })) {
            return Err(failure);
        }
        tracing::warn!(?failure, orders = held.len(), "orders that others hold could not be looked at, and come again");
        self.answers.extend(held.iter().map(|request| (request.order_id.0, Begun::Busy(lease))));
        Ok(())
    }
}

/// Which statement is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin(Form),
    TakeOver,
}

/// Runs a statement once, for orders that are all different.
async fn run(store: &PostgresStore, step: Step, requests: &[&BeginRequest]) -> Result<Vec<Found>, Failure> {
    let statements = store.statements().await?;
    let ids: Vec<i64> = requests.iter().map(|request| request.order_id.0).collect();
    let attempts: Vec<i32> = requests.iter().map(|request| small(request.attempt)).collect();
    let correlation_ids: Vec<_> =
        requests.iter().map(|request| request.correlation_id.as_deref().map(|id| statements.storable(id))).collect();
    let notes_clock = step == Step::TakeOver || store.clock_notes.is_due();
    let lease = store.lease.as_secs_f64();
    let parameters: [Parameter<'_>; 7] = [
        (&ids, Type::INT8_ARRAY),
        (&attempts, Type::INT4_ARRAY),
        (&correlation_ids, Type::TEXT_ARRAY),
        (&lease, Type::FLOAT8),
        (&store.worker.as_str(), Type::TEXT),
        (&store.events, Type::BOOL),
        (&TAKEN_OVER, Type::TEXT),
    ];
    let rows = match step {
        Step::TakeOver => rows_by_order(store.connections.query(&statements.take_over, &parameters).await?)?,
        Step::Begin(form) => {
            let begin = if notes_clock { &statements.begin_and_note } else { &statements.begin };
            store.carry_out(begin, form, &parameters, statements.dialect.tables.orders()).await?.0
        }
    };
    store.notice_fences(&rows, notes_clock).await?;
    requests
        .iter()
        .map(|request| match rows.get(&request.order_id.0) {
            Some(row) => read(store, row, request, step),
            None => Ok(Found::Answer(Begun::Unknown)),
        })
        .collect()
}

/// Reads what the statement says about one row.
fn read(store: &PostgresStore, row: &Row, request: &BeginRequest, step: Step) -> Result<Found, Failure> {
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
            takeover: step == Step::TakeOver,
            waited: store.age(row, "waited")?,
        }));
    }
    if let (State::Pending | State::Processing, Some(left)) = (&found, column::<Option<f64>>(row, "held")?) {
        return Ok(Found::Answer(Begun::Held(decisions::left(left))));
    }
    Ok(match found {
        State::Fulfilled | State::Failed => Found::Answer(Begun::AlreadyFinal(found)),
        State::Cancelled | State::Foreign(_) => Found::Answer(Begun::NotOurs(status)),
        State::Pending => Found::BecameFree,
        State::Processing if matches!(step, Step::Begin(_)) => Found::Held,
        State::Processing => match seconds(row, "idle")? {
            Some(idle) => Found::Answer(Begun::Busy(store.lease.saturating_sub(idle))),
            None => Found::BecameFree,
        },
    })
}
