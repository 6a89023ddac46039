//! Takes orders into work.

use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio_postgres::types::Type;

use super::answers::{Answer, Answers, FENCE};
use super::errors::Failure;
use super::sql::Parameter;
use super::transition::Form;
use super::{PostgresStore, bisect, column, decisions, small};
use crate::domain::order::{Fence, Order, State};
use crate::port::store::{BeginRequest, Begun, TAKEN_OVER};

use super::timestamp::{micros, seconds};

/// What `begin.sql` and `take_over.sql` say beside what every transition does.
const FOUND_STATUS: usize = 5;
const IDLE: usize = 6;
const HELD: usize = 7;
const PRODUCT_ID: usize = 8;
const PRODUCT: usize = 9;
const QUANTITY: usize = 10;
const CREATED_AT: usize = 11;
const WAITED: usize = 12;

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

/// A request and its position.
type Asked<'r> = (usize, &'r BeginRequest);

/// Answers by position; the second request for an order that was started is busy.
pub(super) async fn begin(store: &PostgresStore, requests: &[BeginRequest]) -> Result<Vec<Begun>, Failure> {
    let mut open: Vec<Asked<'_>> = requests.iter().enumerate().collect();
    open.sort_by_key(|(_, request)| request.order_id);
    let mut repeated = Vec::new();
    open.dedup_by(|next, first| {
        let is_repeated = next.1.order_id == first.1.order_id;
        if is_repeated {
            repeated.push((next.0, first.0));
        }
        is_repeated
    });
    let mut answers = vec![None; requests.len()];
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
    for (position, first) in repeated {
        let answer = match answers.get(first) {
            Some(Some(Begun::Started { .. })) => Some(Begun::Busy(store.lease)),
            other => other.cloned().flatten(),
        };
        Pass::set(&mut answers, position, answer);
    }
    let unwritten = || Begun::Refused("the row stays as it is: does a trigger on orders suppress updates?".to_owned());
    Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(unwritten)).collect())
}

/// What becomes of the orders that are asked for together.
struct Pass<'r, 'a> {
    /// By position.
    answers: &'a mut [Option<Begun>],
    held: Vec<Asked<'r>>,
    again: Vec<Asked<'r>>,
}

impl<'r> Pass<'r, '_> {
    async fn ask(&mut self, store: &PostgresStore, step: Step, requests: &[Asked<'r>]) -> Result<(), Failure> {
        let found = bisect::run(requests, |part| run(store, step, part).boxed()).await?;
        for (&asked, found) in requests.iter().zip(found) {
            match found {
                Ok(Found::Answer(answer)) => Self::set(self.answers, asked.0, Some(answer)),
                Ok(Found::Held) => self.held.push(asked),
                Ok(Found::BecameFree) => self.again.push(asked),
                Err(reason) => Self::set(self.answers, asked.0, Some(Begun::Refused(reason))),
            }
        }
        Ok(())
    }

    /// A failure must not cost the orders that were started a moment ago: the others come again.
    fn leave_to_their_workers(&mut self, held: &[Asked<'r>], lease: Duration, failure: Failure) -> Result<(), Failure> {
        if !self.answers.iter().flatten().any(|answer| matches!(answer, Begun::Started { .. })) {
            return Err(failure);
        }
        tracing::warn!(?failure, orders = held.len(), "orders that others hold could not be looked at, and come again");
        for &(position, _) in held {
            Self::set(self.answers, position, Some(Begun::Busy(lease)));
        }
        Ok(())
    }

    fn set(answers: &mut [Option<Begun>], position: usize, answer: Option<Begun>) {
        if let Some(place) = answers.get_mut(position) {
            *place = answer;
        }
    }
}

/// Which statement is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin(Form),
    TakeOver,
}

/// Runs a statement once, for orders that are all different.
async fn run(store: &PostgresStore, step: Step, requests: &[Asked<'_>]) -> Result<Vec<Found>, Failure> {
    let statements = store.statements().await?;
    let ids: Vec<i64> = requests.iter().map(|(_, request)| request.order_id.0).collect();
    let attempts: Vec<i32> = requests.iter().map(|(_, request)| small(request.attempt)).collect();
    let correlation_ids: Vec<_> = requests
        .iter()
        .map(|(_, request)| request.correlation_id.as_deref().map(|id| statements.storable(id)))
        .collect();
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
    let answers = match step {
        Step::TakeOver => Answers::of(store.connections.query(&statements.take_over, &parameters).await?)?,
        Step::Begin(form) => {
            let begin = if notes_clock { &statements.begin_and_note } else { &statements.begin };
            store.carry_out(begin, form, &parameters, statements.dialect.tables.orders()).await?.0
        }
    };
    store.notice_fences(&answers, notes_clock).await?;
    requests
        .iter()
        .map(|(_, request)| match answers.of_order(request.order_id.0) {
            Some(answer) => read(store, answer, request, step),
            None => Ok(Found::Answer(Begun::Unknown)),
        })
        .collect()
}

/// Reads what the statement says about one row.
fn read(
    store: &PostgresStore,
    Answer { row, is_locked, .. }: &Answer,
    request: &BeginRequest,
    step: Step,
) -> Result<Found, Failure> {
    if *is_locked {
        return Ok(Found::Answer(Begun::Locked));
    }
    if let Some(fence) = column::<Option<SystemTime>>(row, FENCE)? {
        let created_at = column::<Option<SystemTime>>(row, CREATED_AT)?;
        return Ok(Found::Answer(Begun::Started {
            order: Order {
                id: request.order_id,
                product_id: column(row, PRODUCT_ID)?,
                product: column(row, PRODUCT)?,
                quantity: column(row, QUANTITY)?,
                created_at_micros: created_at.map(micros),
                attempt: request.attempt,
                correlation_id: request.correlation_id.clone(),
                traceparent: None,
            },
            fence: Fence(micros(fence)),
            takeover: step == Step::TakeOver,
            waited: store.age(row, WAITED)?,
        }));
    }
    // A null status is nobody's, so it isn't ours.
    let status = column::<Option<&str>>(row, FOUND_STATUS)?.unwrap_or("null");
    let found = State::from(status);
    if let (State::Pending | State::Processing, Some(left)) = (&found, column::<Option<f64>>(row, HELD)?) {
        return Ok(Found::Answer(Begun::Held(decisions::left(left))));
    }
    Ok(match found {
        State::Fulfilled | State::Failed => Found::Answer(Begun::AlreadyFinal(found)),
        State::Cancelled | State::Foreign(_) => Found::Answer(Begun::NotOurs(status.to_owned())),
        State::Pending => Found::BecameFree,
        State::Processing if matches!(step, Step::Begin(_)) => Found::Held,
        State::Processing => match seconds(row, IDLE)? {
            Some(idle) => Found::Answer(Begun::Busy(store.lease.saturating_sub(idle))),
            None => Found::BecameFree,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::postgres::answers::columns;

    #[test]
    fn columns_stand_where_they_are_read() {
        for text in [include_str!("begin.sql"), include_str!("take_over.sql")] {
            let columns = columns(text);
            let named = [FOUND_STATUS, IDLE, HELD, PRODUCT_ID, PRODUCT, QUANTITY, CREATED_AT, WAITED]
                .map(|place| columns[place]);
            assert_eq!(
                named,
                ["found_status", "idle", "held", "product_id", "product", "quantity", "created_at", "waited"]
            );
        }
    }
}
