//! Stores dead letters, and finds, redrives and marks them for people.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::sql::{Parameter, Sql};
use super::statements::Statements;
use super::timestamp::{micros, seconds};
use super::{PostgresStore, attempts, bisect, column, count, small};
use crate::domain::dead_letter::{DeadReason, Resolution, RetryStep};
use crate::domain::label::Label;
use crate::domain::order::{OrderId, State};
use crate::port::dead_letters::{
    DeadLetterCount, DeadLetterFilter, DeadLetters, Decision, Redriven, Resolved, StoredDeadLetter,
};
use crate::port::store::{DeadLetter, StoreError};

#[async_trait]
impl DeadLetters for PostgresStore {
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>, StoreError> {
        let statements = self.ready_statements().await?;
        list(self, &statements.dead_letters, filter, after, limit, false).await
    }

    async fn list_without_messages(
        &self,
        filter: &DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>, StoreError> {
        let statements = self.ready_statements().await?;
        // So many that a planner without statistics would have the statement compiled.
        list(self, &statements.dead_letters_without_messages, filter, after, limit, true).await
    }

    async fn count(&self, filter: &DeadLetterFilter) -> Result<DeadLetterCount, StoreError> {
        let rows = find(self, &self.ready_statements().await?.count_dead_letters, filter, 0, None, false).await?;
        let Some(row) = rows.first() else { return Ok(DeadLetterCount::default()) };
        Ok(DeadLetterCount { letters: count(column(row, "letters")?), last_id: column(row, "last_id")? })
    }

    async fn redrive(&self, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, StoreError> {
        let answers = bisect::run(letters, |part| run_redrive(self, part, decision).boxed()).await;
        let answers = self.explain(answers).await?;
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(Redriven::Refused)).collect())
    }

    async fn resolve(
        &self,
        letters: &[i64],
        resolution: Resolution,
        decision: &Decision,
    ) -> Result<Vec<bool>, StoreError> {
        let statements = self.ready_statements().await?;
        let rows = self
            .query(
                &statements.resolve,
                &[
                    (&letters, Type::INT8_ARRAY),
                    (&resolution.as_str(), Type::TEXT),
                    (&statements.detail(&decision.by), Type::TEXT),
                    (&statements.detail(&decision.reason), Type::TEXT),
                ],
            )
            .await?;
        let mut marked = rows.iter().map(|row| column(row, "id")).collect::<Result<HashSet<i64>, Failure>>()?;
        // Named twice, it is marked once.
        Ok(letters.iter().map(|id| marked.remove(id)).collect())
    }
}

async fn list(
    store: &PostgresStore,
    statement: &Sql,
    filter: &DeadLetterFilter,
    after: i64,
    limit: usize,
    by_key: bool,
) -> Result<Vec<StoredDeadLetter>, StoreError> {
    let limit = Some(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = find(store, statement, filter, after, limit, by_key).await?;
    Ok(rows.iter().map(letter).collect::<Result<_, _>>()?)
}

async fn find(
    store: &PostgresStore,
    statement: &Sql,
    filter: &DeadLetterFilter,
    after: i64,
    limit: Option<i64>,
    by_key: bool,
) -> Result<Vec<Row>, StoreError> {
    let reasons: Vec<&str> = filter.reasons.iter().copied().map(DeadReason::as_str).collect();
    let reasons = Some(reasons).filter(|reasons| !reasons.is_empty());
    let parameters: [Parameter<'_>; 10] = [
        (&after, Type::INT8),
        (&limit, Type::INT8),
        (&filter.ids, Type::INT8_ARRAY),
        (&filter.up_to, Type::INT8),
        (&reasons, Type::TEXT_ARRAY),
        (&filter.older_than.as_ref().map(Duration::as_secs_f64), Type::FLOAT8),
        (&filter.newer_than.as_ref().map(Duration::as_secs_f64), Type::FLOAT8),
        (&filter.product_id, Type::INT8),
        (&filter.order_id.map(|order_id| order_id.0), Type::INT8),
        (&filter.resolved, Type::BOOL),
    ];
    if by_key { store.look_up(statement, &parameters).await } else { store.query(statement, &parameters).await }
}

fn letter(row: &Row) -> Result<StoredDeadLetter, Failure> {
    let at = column::<SystemTime>(row, "at")?;
    let resolved = match column::<Option<SystemTime>>(row, "resolved_at")? {
        Some(at) => Some(Resolved {
            resolution: resolution(row)?.unwrap_or(Resolution::Discarded),
            at_micros: micros(at),
            by: column::<Option<String>>(row, "resolved_by")?.unwrap_or_default(),
            reason: column::<Option<String>>(row, "resolved_reason")?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(StoredDeadLetter {
        id: column(row, "id")?,
        order_id: column::<Option<i64>>(row, "order_id")?.map(OrderId),
        order_state: order_state(row)?,
        payload: column(row, "payload")?,
        reason: column(row, "reason")?,
        detail: column(row, "detail")?,
        attempts: attempts(column(row, "attempts")?),
        worker: column(row, "worker")?,
        at_micros: micros(at),
        age: seconds(row, "age")?.unwrap_or_default(),
        resolved,
    })
}

fn resolution(row: &Row) -> Result<Option<Resolution>, Failure> {
    Ok(column::<Option<&str>>(row, "resolution")?.map(Resolution::of))
}

/// What the row of the letter's order says. A null status is the foreign one `null`.
fn order_state(row: &Row) -> Result<Option<State>, Failure> {
    let status = column::<Option<&str>>(row, "order_status")?;
    Ok(column::<bool>(row, "has_row")?.then(|| State::from(status.unwrap_or("null"))))
}

async fn run_redrive(store: &PostgresStore, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, Failure> {
    let statements = store.statements().await?;
    let rows = store
        .connections
        .query(
            &statements.redrive,
            &[
                (&letters, Type::INT8_ARRAY),
                (&store.worker.as_str(), Type::TEXT),
                (&store.events, Type::BOOL),
                (&statements.detail(&decision.note()), Type::TEXT),
                (&statements.detail(&decision.by), Type::TEXT),
                (&statements.detail(&decision.reason), Type::TEXT),
            ],
        )
        .await?;
    let rows =
        rows.into_iter().map(|row| Ok((column(&row, "id")?, row))).collect::<Result<HashMap<i64, _>, Failure>>()?;
    letters.iter().map(|id| rows.get(id).map_or(Ok(Redriven::Unknown), judge)).collect()
}

/// Reads what the statement says about one letter.
fn judge(row: &Row) -> Result<Redriven, Failure> {
    let state = order_state(row)?;
    let step = RetryStep::of(column(row, "reason")?, resolution(row)?, state.as_ref());
    if step == RetryStep::Redrive && !column::<bool>(row, "redriven")? {
        return Ok(Redriven::Refused("the row stays as it is: does a trigger on orders suppress updates?".to_owned()));
    }
    Ok(Redriven::Decided {
        step,
        order_id: column::<Option<i64>>(row, "order_id")?.map(OrderId),
        payload: column(row, "payload")?,
    })
}

/// Stores dead letters, each claim id once.
pub(super) async fn insert(store: &PostgresStore, letters: &[DeadLetter]) -> Result<(), StoreError> {
    let statements = store.ready_statements().await?;
    let columns = DeadLetterColumns::of(&statements, letters.iter().map(|letter| (letter, letter.order_id)));
    store
        .query(
            &statements.insert_dead_letters,
            &[
                (&columns.claim_ids, Type::TEXT_ARRAY),
                (&columns.order_ids, Type::INT8_ARRAY),
                (&columns.payloads, Type::BYTEA_ARRAY),
                (&columns.reasons, Type::TEXT_ARRAY),
                (&columns.details, Type::TEXT_ARRAY),
                (&columns.attempts, Type::INT4_ARRAY),
                (&store.worker.as_str(), Type::TEXT),
            ],
        )
        .await
        .map(drop)
}

/// Dead letters as the statements take them: an array for each column.
#[derive(Default)]
pub(super) struct DeadLetterColumns<'a> {
    pub(super) order_ids: Vec<Option<i64>>,
    pub(super) claim_ids: Vec<&'a str>,
    pub(super) payloads: Vec<&'a [u8]>,
    pub(super) reasons: Vec<&'static str>,
    pub(super) details: Vec<String>,
    pub(super) attempts: Vec<i32>,
}

impl<'a> DeadLetterColumns<'a> {
    /// Each letter with the order that it is stored under.
    pub(super) fn of(
        statements: &Statements,
        letters: impl Iterator<Item = (&'a DeadLetter, Option<OrderId>)>,
    ) -> Self {
        let mut columns = Self::default();
        for (letter, order_id) in letters {
            columns.order_ids.push(order_id.map(|order_id| order_id.0));
            columns.claim_ids.push(&letter.claim_id);
            columns.payloads.push(&letter.payload);
            columns.reasons.push(letter.reason.as_str());
            columns.details.push(statements.detail(&letter.detail));
            columns.attempts.push(small(letter.attempts));
        }
        columns
    }
}
