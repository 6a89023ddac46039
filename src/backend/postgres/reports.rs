//! What people ask: counts, orders, timelines. And the letters that no order's row speaks for.

use std::time::SystemTime;

use tokio_postgres::types::Type;

use super::conclude::Letters;
use super::errors::Failure;
use super::timestamp::{elapsed, micros};
use super::{PostgresStore, column};
use crate::domain::order::{Fence, OrderId, State};
use crate::port::store::{DeadLetter, OrderReport, Summary, TimelineEntry};

/// States that a summary shows even where they have no orders.
const OWN_STATES: [State; 4] = [State::Pending, State::Processing, State::Fulfilled, State::Failed];

/// Keeps dead letters, each claim id once.
pub(super) async fn bury(store: &PostgresStore, letters: &[DeadLetter]) -> Result<(), Failure> {
    let mut columns = Letters::default();
    for letter in letters {
        columns.push(letter, letter.order_id);
    }
    store
        .connections
        .query(
            include_str!("bury.sql"),
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

/// Counts and ages.
pub(super) async fn summary(store: &PostgresStore) -> Result<Summary, Failure> {
    let rows = store.connections.query(include_str!("summary.sql"), &[]).await?;
    let mut summary = Summary {
        orders_by_state: OWN_STATES.iter().map(|state| (state.as_str().to_owned(), 0)).collect(),
        ..Summary::default()
    };
    for row in rows {
        summary.dead_letters = count(column(&row, "dead_letters")?);
        let Some(status) = column::<Option<String>>(&row, "status")? else { continue };
        let orders = count(column(&row, "orders")?);
        let read_at = column::<SystemTime>(&row, "read_at")?;
        let oldest =
            column::<Option<SystemTime>>(&row, "oldest_created_at")?.map(|created_at| elapsed(created_at, read_at));
        match State::from(status.as_str()) {
            State::Pending => summary.oldest_pending = oldest,
            State::Processing => summary.oldest_processing = oldest,
            _ => {}
        }
        match summary.orders_by_state.iter_mut().find(|(state, _)| *state == status) {
            Some((_, shown)) => *shown = orders,
            None => summary.orders_by_state.push((status, orders)),
        }
    }
    Ok(summary)
}

/// An order as its row has it.
pub(super) async fn order(store: &PostgresStore, order_id: OrderId) -> Result<Option<OrderReport>, Failure> {
    let rows = store.connections.query(include_str!("order.sql"), &[(&order_id.0, Type::INT8)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let read_at = column::<SystemTime>(row, "read_at")?;
    let created_at = column::<Option<SystemTime>>(row, "created_at")?;
    let updated_at = column::<Option<SystemTime>>(row, "updated_at")?;
    Ok(Some(OrderReport {
        id: order_id,
        state: State::from(column::<&str>(row, "status")?),
        product_id: column(row, "product_id")?,
        product: column(row, "product")?,
        quantity: column(row, "quantity")?,
        created_at_micros: created_at.map(micros),
        age: created_at.map(|created_at| elapsed(created_at, read_at)),
        updated_at_micros: updated_at.map(micros),
        idle: updated_at.map(|updated_at| elapsed(updated_at, read_at)),
    }))
}

/// An order's transitions, oldest first.
pub(super) async fn timeline(store: &PostgresStore, order_id: OrderId) -> Result<Vec<TimelineEntry>, Failure> {
    let rows = store.connections.query(include_str!("timeline.sql"), &[(&order_id.0, Type::INT8)]).await?;
    rows.iter()
        .map(|row| {
            Ok(TimelineEntry {
                at: Fence(micros(column(row, "at")?)),
                state: State::from(column::<&str>(row, "state")?),
                attempt: attempts(column(row, "attempt")?),
                worker: column(row, "worker")?,
                correlation_id: column(row, "correlation_id")?,
                note: column(row, "note")?,
            })
        })
        .collect()
}

pub(super) fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

pub(super) fn attempts(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
