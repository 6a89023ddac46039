//! Finds, redrives and marks dead letters for people.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::batch::{Batch, Entry};
use super::row_by_row::row_by_row;
use super::{SqliteStore, SqliteStoreOptions};
use crate::backend::sqlite::database::{elapsed, micros, now_micros};
use crate::domain::dead_letter::{DeadReason, Resolution, RetryStep};
use crate::domain::label::Label;
use crate::domain::order::{OrderId, State, Step, admit};
use crate::domain::text::truncate_detail;
use crate::port::dead_letters::{
    DeadLetterCount, DeadLetterFilter, DeadLetters, Decision, Redriven, Resolved, StoredDeadLetter,
};
use crate::port::store::StoreError;

const DEAD_LETTERS: &str = include_str!("dead_letters.sql");
const COUNT: &str =
    concat!("SELECT count(*), coalesce(max(id), 0) FROM (\n", include_str!("dead_letters.sql"), ") AS matching");
const RESOLVE: &str = include_str!("resolve.sql");

/// A dead letter, and what its order's row says, for the decision on a retry.
const LETTER: &str = "
SELECT l.order_id, l.payload, l.reason, l.resolution, orders.id IS NOT NULL, orders.status
FROM fulfillment_dead_letters AS l LEFT JOIN orders ON orders.id = l.order_id
WHERE l.id = ?1";

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>, StoreError> {
        let filter = filter.clone();
        Ok(self.database.read(move |connection| list(connection, DEAD_LETTERS, &filter, after, limit)).await?)
    }

    async fn list_without_messages(
        &self,
        filter: &DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>, StoreError> {
        let filter = filter.clone();
        let letters = DEAD_LETTERS.replace("l.payload,", "x'',");
        Ok(self.database.read(move |connection| list(connection, &letters, &filter, after, limit)).await?)
    }

    async fn count(&self, filter: &DeadLetterFilter) -> Result<DeadLetterCount, StoreError> {
        let filter = filter.clone();
        Ok(self.database.read(move |connection| count(connection, &filter)).await?)
    }

    async fn redrive(&self, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, StoreError> {
        let (ids, decision, options) = (letters.to_vec(), decision.clone(), self.options.clone());
        Ok(self.database.write(move |connection| redrive(connection, &options, &ids, &decision)).await?)
    }

    async fn resolve(
        &self,
        letters: &[i64],
        resolution: Resolution,
        decision: &Decision,
    ) -> Result<Vec<bool>, StoreError> {
        let (ids, decision) = (letters.to_vec(), decision.clone());
        let resolve =
            move |connection: &Connection| ids.iter().map(|&id| mark(connection, id, resolution, &decision)).collect();
        Ok(self.database.write(resolve).await?)
    }
}

fn list(
    connection: &Connection,
    letters: &str,
    filter: &DeadLetterFilter,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<StoredDeadLetter>> {
    let (now, limit) = (now_micros(), i64::try_from(limit).unwrap_or(i64::MAX));
    let mut letters = connection.prepare_cached(letters)?;
    with_parameters(filter, now, after, limit, |parameters| {
        letters.query_map(parameters, |row| stored_dead_letter(row, now))?.collect()
    })
}

fn count(connection: &Connection, filter: &DeadLetterFilter) -> rusqlite::Result<DeadLetterCount> {
    let mut count = connection.prepare_cached(COUNT)?;
    with_parameters(filter, now_micros(), 0, -1, |parameters| {
        count.query_row(parameters, |row| {
            Ok(DeadLetterCount { letters: row.get::<_, i64>(0)?.unsigned_abs(), last_id: row.get(1)? })
        })
    })
}

fn with_parameters<T>(
    filter: &DeadLetterFilter,
    now: i64,
    after: i64,
    limit: i64,
    run: impl FnOnce(&[(&str, &dyn rusqlite::ToSql)]) -> T,
) -> T {
    let ago = |age: Option<Duration>| age.map(|age| now.saturating_sub(micros(age)));
    let ids = filter.ids.as_ref().map(|ids| serde_json::json!(ids).to_string());
    let reasons: Vec<&str> = filter.reasons.iter().copied().map(DeadReason::as_str).collect();
    let reasons = Some(reasons).filter(|reasons| !reasons.is_empty());
    run(named_params! {
        ":after": after,
        ":limit": limit,
        ":ids": ids,
        ":up_to": filter.up_to,
        ":reasons": reasons.map(|reasons| serde_json::json!(reasons).to_string()),
        ":before": ago(filter.older_than),
        ":since": ago(filter.newer_than),
        ":product_id": filter.product_id,
        ":order_id": filter.order_id.map(|order_id| order_id.0),
        ":resolved": filter.resolved,
    })
}

fn stored_dead_letter(row: &Row<'_>, now: i64) -> rusqlite::Result<StoredDeadLetter> {
    let at_micros = row.get(9)?;
    let resolved = match row.get::<_, Option<i64>>(10)? {
        Some(at_micros) => Some(Resolved {
            resolution: resolution(row, 11)?.unwrap_or(Resolution::Discarded),
            at_micros,
            by: row.get::<_, Option<String>>(12)?.unwrap_or_default(),
            reason: row.get::<_, Option<String>>(13)?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(StoredDeadLetter {
        id: row.get(0)?,
        order_id: row.get::<_, Option<i64>>(1)?.map(OrderId),
        order_state: order_state(row, 2)?,
        payload: row.get(4)?,
        reason: row.get(5)?,
        detail: row.get(6)?,
        attempts: row.get(7)?,
        worker: row.get(8)?,
        at_micros,
        age: elapsed(at_micros, now),
        resolved,
    })
}

fn resolution(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Resolution>> {
    Ok(row.get::<_, Option<String>>(column)?.map(|text| Resolution::of(&text)))
}

/// From two columns: whether the order has a row, and its status, of which null is the foreign one `null`.
fn order_state(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<State>> {
    let status: Option<String> = row.get(column + 1)?;
    Ok(row.get::<_, bool>(column)?.then(|| State::from(status.as_deref().unwrap_or("null"))))
}

/// What is to be done with one letter, as it and its order were before the batch.
struct Plan {
    id: i64,
    /// `None` if there is no such letter.
    found: Option<(RetryStep, Option<OrderId>, Vec<u8>)>,
}

fn redrive(
    connection: &Connection,
    options: &SqliteStoreOptions,
    letters: &[i64],
    decision: &Decision,
) -> rusqlite::Result<Vec<Redriven>> {
    let note = decision.note();
    let batch = Batch::new(connection, options);
    let plans = letters.iter().map(|&id| plan(connection, id)).collect::<rusqlite::Result<Vec<Plan>>>()?;
    row_by_row(connection, &plans, Redriven::Refused, |plan| {
        let Some((step, order_id, payload)) = &plan.found else { return Ok(Redriven::Unknown) };
        if let (RetryStep::Redrive, Some(order_id)) = (step, *order_id) {
            // Another letter of the batch may have moved the order already: then this one is only marked.
            if let Some(row) = batch.read(order_id)?
                && let Ok(state) = admit(&row.view, Step::Redrive)
            {
                let at = batch.enter(order_id, &state, row.view.fence)?;
                batch.note_begun(order_id)?;
                let (worker, note) = (options.worker.as_str(), Some(note.as_str()));
                batch.note(&Entry { order_id, at, state: &state, attempt: 0, worker, correlation_id: None, note })?;
            }
            mark(connection, plan.id, Resolution::Retried, decision)?;
        }
        Ok(Redriven::Decided { step: step.clone(), order_id: *order_id, payload: payload.clone() })
    })
}

fn plan(connection: &Connection, id: i64) -> rusqlite::Result<Plan> {
    let found = connection.prepare_cached(LETTER)?.query_row([id], |row| {
        let reason: String = row.get(2)?;
        let step = RetryStep::of(&reason, resolution(row, 3)?, order_state(row, 4)?.as_ref());
        Ok((step, row.get::<_, Option<i64>>(0)?.map(OrderId), row.get(1)?))
    });
    Ok(Plan { id, found: found.optional()? })
}

fn mark(connection: &Connection, id: i64, resolution: Resolution, decision: &Decision) -> rusqlite::Result<bool> {
    let changed = connection.prepare_cached(RESOLVE)?.execute(named_params! {
        ":id": id,
        ":at": now_micros(),
        ":resolution": resolution.as_str(),
        ":by": truncate_detail(&decision.by),
        ":reason": truncate_detail(&decision.reason),
    })?;
    Ok(changed == 1)
}
