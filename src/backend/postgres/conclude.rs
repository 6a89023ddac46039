//! Ends attempts, and keeps the leases of those that go on.

use std::time::SystemTime;

use futures::FutureExt;
use tokio_postgres::types::Type;

use super::answers::{Answer, FENCE};
use super::dead_letters::DeadLetterColumns;
use super::errors::Failure;
use super::sql::Parameter;
use super::timestamp::{micros, timestamp};
use super::transition::Form;
use super::{PostgresStore, bisect, column, small};
use crate::domain::order::{Fence, OrderId, State};
use crate::port::store::{Conclusion, Renewal, Renewed, Target, Verdict};

/// What `conclude.sql` says beside what every transition does.
const FOUND_STATUS: usize = 4;
const FOUND_AT: usize = 5;
const AGE: usize = 6;
const FOUND_CREATED_AT: usize = 7;

/// Answers by position.
pub(super) async fn conclude(store: &PostgresStore, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, Failure> {
    let mut verdicts = vec![Verdict::Superseded(None); conclusions.len()];
    for round in rounds(conclusions, |conclusion| conclusion.order_id) {
        let mut open = round;
        for form in [Form::Waiting, Form::Passing] {
            let batch: Vec<&Conclusion> = open.iter().filter_map(|&position| conclusions.get(position)).collect();
            let answers = bisect::run(&batch, |part| run_conclude(store, form, part).boxed()).await?;
            let mut unwritten = Vec::new();
            for (position, answer) in open.into_iter().zip(answers) {
                let verdict = answer.unwrap_or_else(|reason| Some(Verdict::Refused(reason)));
                match (verdict, verdicts.get_mut(position)) {
                    (Some(verdict), Some(place)) => *place = verdict,
                    _ => unwritten.push(position),
                }
            }
            open = unwritten;
            if open.is_empty() {
                break;
            }
        }
    }
    Ok(verdicts)
}

/// Answers by position.
pub(super) async fn renew(store: &PostgresStore, renewals: &[Renewal]) -> Result<Vec<Renewed>, Failure> {
    let mut renewed = vec![Renewed::Lost; renewals.len()];
    for round in rounds(renewals, |renewal| renewal.order_id) {
        let batch: Vec<Renewal> = round.iter().filter_map(|&position| renewals.get(position).copied()).collect();
        let answers = bisect::run(&batch, |part| run_renew(store, part).boxed()).await?;
        for (position, answer) in round.into_iter().zip(answers) {
            if let Some(renewed) = renewed.get_mut(position) {
                // A row that the database won't write keeps no lease.
                *renewed = answer.unwrap_or(Renewed::Lost);
            }
        }
    }
    Ok(renewed)
}

/// Positions in rounds that name each order once, in order of id: items for the same order take effect in turn, and
/// each is judged by what the one before it left. There is one round unless an order is named twice.
fn rounds<T>(items: &[T], order_id: impl Fn(&T) -> OrderId) -> Vec<Vec<usize>> {
    let mut sorted: Vec<(OrderId, usize)> =
        items.iter().enumerate().map(|(position, item)| (order_id(item), position)).collect();
    sorted.sort_unstable();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for same in sorted.chunk_by(|one, next| one.0 == next.0) {
        rounds.resize_with(rounds.len().max(same.len()), Vec::new);
        for (round, &(_, position)) in rounds.iter_mut().zip(same) {
            round.push(position);
        }
    }
    rounds
}

/// Runs the statement once, for orders that are all different. Answers nothing where [`Form::Waiting`] hasn't written a row: by
/// [`Form::Passing`] it is told why.
async fn run_conclude(
    store: &PostgresStore,
    form: Form,
    conclusions: &[&Conclusion],
) -> Result<Vec<Option<Verdict>>, Failure> {
    let statements = store.statements().await?;
    let ids: Vec<i64> = conclusions.iter().map(|conclusion| conclusion.order_id.0).collect();
    let fences: Vec<SystemTime> = conclusions.iter().map(|conclusion| timestamp(conclusion.fence.0)).collect();
    let states: Vec<State> = conclusions.iter().map(|conclusion| conclusion.to.state()).collect();
    let states: Vec<&str> = states.iter().map(State::as_str).collect();
    let attempts: Vec<i32> = conclusions.iter().map(|conclusion| small(conclusion.attempt)).collect();
    let notes: Vec<_> =
        conclusions.iter().map(|conclusion| conclusion.to.note().map(|note| statements.detail(note))).collect();
    let letters = DeadLetterColumns::of(
        &statements,
        conclusions.iter().filter_map(|conclusion| match &conclusion.to {
            Target::Failed(letter) => Some((letter, Some(conclusion.order_id))),
            Target::Fulfilled { .. } | Target::Pending { .. } => None,
        }),
    );
    let (answers, form) = store
        .carry_out(
            &statements.conclude,
            form,
            &[
                (&ids, Type::INT8_ARRAY),
                (&fences, statements.dialect.fences()),
                (&states, Type::TEXT_ARRAY),
                (&attempts, Type::INT4_ARRAY),
                (&notes, Type::TEXT_ARRAY),
                (&store.worker.as_str(), Type::TEXT),
                (&store.events, Type::BOOL),
                (&letters.order_ids, Type::INT8_ARRAY),
                (&letters.claim_ids, Type::TEXT_ARRAY),
                (&letters.payloads, Type::BYTEA_ARRAY),
                (&letters.reasons, Type::TEXT_ARRAY),
                (&letters.details, Type::TEXT_ARRAY),
                (&letters.attempts, Type::INT4_ARRAY),
            ],
            statements.dialect.tables.orders(),
        )
        .await?;
    store.notice_stuck_fences(&answers)?;
    conclusions
        .iter()
        .map(|conclusion| match answers.of_order(conclusion.order_id.0) {
            Some(answer) => judge(store, form, answer, conclusion),
            None => Ok(Some(Verdict::Superseded(None))),
        })
        .collect()
}

/// Reads what the statement says about one row.
fn judge(
    store: &PostgresStore,
    form: Form,
    Answer { row, is_locked, .. }: &Answer,
    conclusion: &Conclusion,
) -> Result<Option<Verdict>, Failure> {
    if *is_locked {
        return Ok(Some(Verdict::Locked));
    }
    if column::<Option<SystemTime>>(row, FENCE)?.is_some() {
        return Ok(Some(Verdict::Done { age: store.age(row, AGE)? }));
    }
    if form == Form::Waiting {
        return Ok(None);
    }
    let found_created_at = column::<Option<SystemTime>>(row, FOUND_CREATED_AT)?.map(micros);
    if conclusion.created_at_micros.zip(found_created_at).is_some_and(|(begun, found)| begun != found) {
        return Ok(Some(Verdict::Superseded(None)));
    }
    let found = State::from(column::<Option<&str>>(row, FOUND_STATUS)?.unwrap_or("null"));
    let found_at = column::<Option<SystemTime>>(row, FOUND_AT)?.map(micros);
    let was_carried_out = conclusion.maybe_applied
        && found == conclusion.to.state()
        && found_at.is_some_and(|found_at| found_at > conclusion.fence.0);
    if was_carried_out {
        return Ok(Some(Verdict::Done { age: store.age(row, AGE)? }));
    }
    if found == State::Processing && found_at == Some(conclusion.fence.0) {
        let reason = "the row stays as it is: does a trigger on orders suppress updates?";
        return Ok(Some(Verdict::Refused(reason.to_owned())));
    }
    Ok(Some(Verdict::Superseded(Some(found))))
}

/// Runs the statement once, for orders that are all different.
async fn run_renew(store: &PostgresStore, renewals: &[Renewal]) -> Result<Vec<Renewed>, Failure> {
    let ids: Vec<i64> = renewals.iter().map(|renewal| renewal.order_id.0).collect();
    let held: Vec<SystemTime> = renewals.iter().map(|renewal| timestamp(renewal.fence.0)).collect();
    let statements = store.statements().await?;
    let parameters: [Parameter<'_>; 2] = [(&ids, Type::INT8_ARRAY), (&held, statements.dialect.fences())];
    let orders = statements.dialect.tables.orders();
    let (answers, _) = store.carry_out(&statements.renew, Form::Waiting, &parameters, orders).await?;
    store.notice_fences(&answers, true).await?;
    let judge = |answer: &Answer| match (answer.is_locked, column::<Option<SystemTime>>(&answer.row, FENCE)?) {
        (true, _) => Ok(Renewed::Locked),
        (false, Some(fence)) => Ok(Renewed::Kept(Fence(micros(fence)))),
        (false, None) => Ok(Renewed::Lost),
    };
    renewals.iter().map(|renewal| answers.of_order(renewal.order_id.0).map_or(Ok(Renewed::Lost), judge)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::postgres::answers::columns;

    #[test]
    fn columns_stand_where_they_are_read() {
        let columns = columns(include_str!("conclude.sql"));
        let places = [FOUND_STATUS, FOUND_AT, AGE, FOUND_CREATED_AT];
        assert_eq!(places.map(|place| columns[place]), ["found_status", "found_at", "age", "found_created_at"]);
    }

    #[test]
    fn an_order_named_twice_has_its_second_item_in_a_second_round() {
        let ids = [7, 3, 7, 5, 7].map(OrderId);
        assert_eq!(rounds(&ids, |id| *id), vec![vec![1, 3, 0], vec![2], vec![4]]);
    }

    #[test]
    fn different_orders_go_in_one_round_sorted_by_id() {
        let ids = [9, 1, 5].map(OrderId);
        assert_eq!(rounds(&ids, |id| *id), vec![vec![1, 2, 0]]);
    }
}
