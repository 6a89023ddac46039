//! Dead letters for people: finding, redriving and marking them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::reports::{attempts, count};
use super::timestamp::{elapsed, micros};
use super::{PostgresStore, bisect, column};
use crate::domain::order::{OrderId, State};
use crate::domain::text::truncate_detail;
use crate::port::store::{
    BuriedLetter, DeadReason, Decision, LetterCount, LetterFilter, Redriven, Resolution, Resolved, RetryStep,
};

const DEAD_LETTERS: &str = include_str!("dead_letters.sql");
const COUNT: &str = concat!(
    "SELECT count(*) AS letters, coalesce(max(id), 0) AS last_id FROM (\n",
    include_str!("dead_letters.sql"),
    ") AS matching"
);

/// A page of dead letters.
pub(super) async fn dead_letters(
    store: &PostgresStore,
    filter: &LetterFilter,
    after: i64,
    limit: usize,
) -> Result<Vec<BuriedLetter>, Failure> {
    let rows = find(store, DEAD_LETTERS, filter, after, Some(i64::try_from(limit).unwrap_or(i64::MAX))).await?;
    rows.iter().map(letter).collect()
}

/// Counts dead letters.
pub(super) async fn count_dead_letters(store: &PostgresStore, filter: &LetterFilter) -> Result<LetterCount, Failure> {
    let rows = find(store, COUNT, filter, 0, None).await?;
    let Some(row) = rows.first() else { return Ok(LetterCount::default()) };
    Ok(LetterCount { letters: count(column(row, "letters")?), last_id: column(row, "last_id")? })
}

async fn find(
    store: &PostgresStore,
    statement: &str,
    filter: &LetterFilter,
    after: i64,
    limit: Option<i64>,
) -> Result<Vec<Row>, Failure> {
    let reasons: Vec<&str> = filter.reasons.iter().copied().map(DeadReason::as_str).collect();
    let reasons = Some(reasons).filter(|reasons| !reasons.is_empty());
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 10] = [
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
    store.connections.query(statement, &parameters).await
}

fn letter(row: &Row) -> Result<BuriedLetter, Failure> {
    let (at, read_at) = (column::<SystemTime>(row, "at")?, column::<SystemTime>(row, "read_at")?);
    let resolved = match column::<Option<SystemTime>>(row, "resolved_at")? {
        Some(at) => Some(Resolved {
            resolution: resolution(row)?.unwrap_or(Resolution::Discarded),
            at_micros: micros(at),
            by: column::<Option<String>>(row, "resolved_by")?.unwrap_or_default(),
            reason: column::<Option<String>>(row, "resolved_reason")?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(BuriedLetter {
        id: column(row, "id")?,
        order_id: column::<Option<i64>>(row, "order_id")?.map(OrderId),
        order_state: order_state(row)?,
        payload: column(row, "payload")?,
        reason: column(row, "reason")?,
        detail: column(row, "detail")?,
        attempts: attempts(column(row, "attempts")?),
        worker: column(row, "worker")?,
        at_micros: micros(at),
        age: elapsed(at, read_at),
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

/// Answers by position.
pub(super) async fn redrive(
    store: &PostgresStore,
    letters: &[i64],
    decision: &Decision,
) -> Result<Vec<Redriven>, Failure> {
    let answers = bisect::run(letters, |part| run_redrive(store, part, decision).boxed()).await?;
    Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(Redriven::Refused)).collect())
}

async fn run_redrive(store: &PostgresStore, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, Failure> {
    let rows = store
        .connections
        .query(
            include_str!("redrive.sql"),
            &[
                (&letters, Type::INT8_ARRAY),
                (&store.worker.as_str(), Type::TEXT),
                (&store.events, Type::BOOL),
                (&truncate_detail(&decision.note()), Type::TEXT),
                (&truncate_detail(&decision.by), Type::TEXT),
                (&truncate_detail(&decision.reason), Type::TEXT),
            ],
        )
        .await?;
    let mut rows_by_id = HashMap::with_capacity(rows.len());
    for row in rows {
        rows_by_id.insert(column::<i64>(&row, "id")?, row);
    }
    letters.iter().map(|id| rows_by_id.get(id).map_or(Ok(Redriven::Unknown), judge)).collect()
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

/// Answers by position.
pub(super) async fn resolve(
    store: &PostgresStore,
    letters: &[i64],
    resolution: Resolution,
    decision: &Decision,
) -> Result<Vec<bool>, Failure> {
    let rows = store
        .connections
        .query(
            include_str!("resolve.sql"),
            &[
                (&letters, Type::INT8_ARRAY),
                (&resolution.as_str(), Type::TEXT),
                (&truncate_detail(&decision.by), Type::TEXT),
                (&truncate_detail(&decision.reason), Type::TEXT),
            ],
        )
        .await?;
    let mut marked = rows.iter().map(|row| column(row, "id")).collect::<Result<HashSet<i64>, Failure>>()?;
    // Named twice, it is marked once.
    Ok(letters.iter().map(|id| marked.remove(id)).collect())
}
