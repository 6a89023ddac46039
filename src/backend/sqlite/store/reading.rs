//! Questions that change nothing.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::backend::sqlite::database::{elapsed, now_micros};
use crate::domain::order::{Fence, OrderId, State};
use crate::port::store::{OrderReport, Summary, TimelineEntry};

const COUNT_BY_STATUS: &str = include_str!("count_by_status.sql");
const OLDEST: &str = include_str!("oldest.sql");
const ORDER: &str = include_str!("order.sql");
const TIMELINE: &str = include_str!("timeline.sql");
const COLUMNS: &str = include_str!("columns.sql");

/// What the statements of this module and its neighbours name.
const NEEDED: [(&str, &[&str]); 6] = [
    ("products", &["id", "name", "price", "created_at"]),
    ("orders", &["id", "product_id", "quantity", "status", "created_at", "updated_at"]),
    ("fulfillment_events", &["order_id", "at", "state", "attempt", "worker", "correlation_id", "note"]),
    (
        "fulfillment_dead_letters",
        &[
            "id",
            "claim_id",
            "order_id",
            "payload",
            "reason",
            "detail",
            "attempts",
            "worker",
            "at",
            "resolved_at",
            "resolution",
            "resolved_by",
            "resolved_reason",
        ],
    ),
    ("fulfillment_queue", &["id", "payload", "pushed_at", "attempts", "token", "due_at", "adopted_as"]),
    ("fulfillment_leadership", &["name", "holder", "until"]),
];

pub(super) fn summary(connection: &Connection) -> rusqlite::Result<Summary> {
    let now = now_micros();
    let mut orders_by_state: Vec<(String, u64)> = [State::Pending, State::Processing, State::Fulfilled, State::Failed]
        .map(|state| (state.as_str().to_owned(), 0))
        .into();
    let mut count = connection.prepare_cached(COUNT_BY_STATUS)?;
    let mut rows = count.query([])?;
    while let Some(row) = rows.next()? {
        let (status, number): (String, u64) = (row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs());
        match orders_by_state.iter_mut().find(|(known, _)| *known == status) {
            Some(known) => known.1 += number,
            None => orders_by_state.push((status, number)),
        }
    }
    connection.prepare_cached(OLDEST)?.query_row([], |row| {
        let age = |created_at: Option<i64>| created_at.map(|created_at| elapsed(created_at, now));
        Ok(Summary {
            orders_by_state,
            oldest_pending: age(row.get(0)?),
            oldest_processing: age(row.get(1)?),
            dead_letters: row.get::<_, i64>(2)?.unsigned_abs(),
        })
    })
}

pub(super) fn order(connection: &Connection, order_id: OrderId) -> rusqlite::Result<Option<OrderReport>> {
    let now = now_micros();
    let ago = |at: Option<i64>| at.map(|at| elapsed(at, now));
    let mut find = connection.prepare_cached(ORDER)?;
    let report = find.query_row([order_id.0], |row| {
        let (status, created_at, updated_at): (String, _, _) = (row.get(0)?, row.get(4)?, row.get(5)?);
        Ok(OrderReport {
            id: order_id,
            state: State::from(status.as_str()),
            product_id: row.get(1)?,
            product: row.get(2)?,
            quantity: row.get(3)?,
            created_at_micros: created_at,
            age: ago(created_at),
            updated_at_micros: updated_at,
            idle: ago(updated_at),
        })
    });
    report.optional()
}

pub(super) fn timeline(connection: &Connection, order_id: OrderId) -> rusqlite::Result<Vec<TimelineEntry>> {
    let mut entries = connection.prepare_cached(TIMELINE)?;
    entries.query_map([order_id.0], timeline_entry)?.collect()
}

fn timeline_entry(row: &Row<'_>) -> rusqlite::Result<TimelineEntry> {
    let state: String = row.get(1)?;
    Ok(TimelineEntry {
        at: Fence(row.get(0)?),
        state: State::from(state.as_str()),
        attempt: row.get(2)?,
        worker: row.get(3)?,
        correlation_id: row.get(4)?,
        note: row.get(5)?,
    })
}

/// Names each table and column that is needed and not there, as `table` or `table.column`.
pub(super) fn missing_columns(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut present = connection.prepare_cached(COLUMNS)?;
    let present: HashSet<(String, String)> =
        present.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut missing = Vec::new();
    for (table, columns) in NEEDED {
        if !present.iter().any(|(name, _)| name == table) {
            missing.push(table.to_owned());
            continue;
        }
        let absent = columns.iter().filter(|column| !present.contains(&(table.to_owned(), (**column).to_owned())));
        missing.extend(absent.map(|column| format!("{table}.{column}")));
    }
    Ok(missing)
}
