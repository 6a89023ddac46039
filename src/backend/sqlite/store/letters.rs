//! Dead letters for people: finding, redriving and marking them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::SqliteStoreOptions;
use super::row_by_row::row_by_row;
use super::transition::{Entry, Orders, Timeline};
use crate::backend::sqlite::database::{elapsed, micros, now_micros};
use crate::domain::order::{OrderId, State, Step, admit};
use crate::domain::text::truncate_detail;
use crate::port::store::{
    BuriedLetter, DeadReason, Decision, LetterCount, LetterFilter, Redriven, Resolution, Resolved, RetryStep,
};

const DEAD_LETTERS: &str = include_str!("dead_letters.sql");
const COUNT: &str =
    concat!("SELECT count(*), coalesce(max(id), 0) FROM (\n", include_str!("dead_letters.sql"), ") AS matching");
const LETTER: &str = include_str!("letter.sql");
const RESOLVE: &str = include_str!("resolve.sql");

pub(super) fn dead_letters(
    connection: &Connection,
    filter: &LetterFilter,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<BuriedLetter>> {
    let (now, limit) = (now_micros(), i64::try_from(limit).unwrap_or(i64::MAX));
    let mut letters = connection.prepare_cached(DEAD_LETTERS)?;
    with_parameters(filter, now, after, limit, |parameters| {
        letters.query_map(parameters, |row| buried_letter(row, now))?.collect()
    })
}

pub(super) fn count_dead_letters(connection: &Connection, filter: &LetterFilter) -> rusqlite::Result<LetterCount> {
    let mut count = connection.prepare_cached(COUNT)?;
    with_parameters(filter, now_micros(), 0, -1, |parameters| {
        count.query_row(parameters, |row| {
            Ok(LetterCount { letters: row.get::<_, i64>(0)?.unsigned_abs(), last_id: row.get(1)? })
        })
    })
}

fn with_parameters<T>(
    filter: &LetterFilter,
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

fn buried_letter(row: &Row<'_>, now: i64) -> rusqlite::Result<BuriedLetter> {
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
    Ok(BuriedLetter {
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

pub(super) fn redrive(
    connection: &Connection,
    options: &SqliteStoreOptions,
    letters: &[i64],
    decision: &Decision,
) -> rusqlite::Result<Vec<Redriven>> {
    let note = decision.note();
    let mut orders = Orders::new(connection)?;
    let mut timeline = Timeline::new(connection, options)?;
    let plans = letters.iter().map(|&id| plan(connection, id)).collect::<rusqlite::Result<Vec<Plan>>>()?;
    row_by_row(connection, &plans, Redriven::Refused, |plan| {
        let Some((step, order_id, payload)) = &plan.found else { return Ok(Redriven::Unknown) };
        if let (RetryStep::Redrive, Some(order_id)) = (step, *order_id) {
            // Another letter of the batch may have moved the order already: then this one is only marked.
            if let Some(row) = orders.read(order_id)?
                && let Ok(state) = admit(&row.view, Step::Redrive)
            {
                let at = orders.enter(order_id, &state, row.view.fence)?;
                let note = Some(note.as_str());
                timeline.note(&Entry { order_id, at, state: &state, attempt: 0, correlation_id: None, note })?;
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

pub(super) fn resolve(
    connection: &Connection,
    letters: &[i64],
    resolution: Resolution,
    decision: &Decision,
) -> rusqlite::Result<Vec<bool>> {
    letters.iter().map(|&id| mark(connection, id, resolution, decision)).collect()
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
