//! What a batch of transitions reads and writes, within one transaction.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::SqliteStoreOptions;
use super::observed::seen_for;
use crate::backend::sqlite::database::{elapsed, now_micros};
use crate::domain::label::Label;
use crate::domain::order::{Fence, Order, OrderId, RowView, State};
use crate::domain::text::truncate_detail;
use crate::port::decisions::OpenOrder;
use crate::port::store::{BeginRequest, DeadLetter};

const ROW: &str = include_str!("row.sql");
const EVENT: &str = include_str!("event.sql");

/// Writes a transition that was admitted. It names the fence it leaves, though within the transaction that read it
/// nothing can have moved it.
const MOVE: &str =
    "UPDATE orders SET status = :status, updated_at = :fence WHERE id = :id AND coalesce(updated_at, 0) = :left";

const BEGUN: &str = "
INSERT OR IGNORE INTO fulfillment_begun_orders (order_id)
SELECT ?1 FROM fulfillment_horizon WHERE last_order_id >= ?1";

/// Stores a dead letter. One with the same claim id stays as it is, unless it is resolved.
const DEAD_LETTER: &str = "
INSERT INTO fulfillment_dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
VALUES (:claim_id, :order_id, :payload, :reason, :detail, :attempts, :worker, :at)
ON CONFLICT (claim_id) WHERE resolved_at IS NULL DO NOTHING";

/// Reads and writes rows; all of it happens at the same time `now`.
pub(super) struct Batch<'c> {
    connection: &'c Connection,
    options: &'c SqliteStoreOptions,
    pub(super) now: i64,
}

impl<'c> Batch<'c> {
    pub(super) fn new(connection: &'c Connection, options: &'c SqliteStoreOptions) -> Self {
        Self { connection, options, now: now_micros() }
    }

    /// Reads an order's row; `None` if there is none.
    pub(super) fn read(&self, order_id: OrderId) -> rusqlite::Result<Option<OrderRow>> {
        self.connection.prepare_cached(ROW)?.query_row([order_id.0], |row| read_order(row, self.now)).optional()
    }

    /// The same, to take the order from whoever holds it: a fence that lies in the future is as old as it has been seen.
    pub(super) fn read_to_begin(&self, order_id: OrderId) -> rusqlite::Result<Option<OrderRow>> {
        let mut row = self.read(order_id)?;
        if let Some(OrderRow { view: RowView { state: State::Processing, fence, idle }, .. }) = &mut row
            && fence.0 > self.now
        {
            *idle = seen_for(self.connection, order_id, *fence, self.now)?;
        }
        Ok(row)
    }

    /// Writes the state and a fence that is larger than the one left, even if the clock was put back.
    pub(super) fn enter(&self, order_id: OrderId, state: &State, left: Fence) -> rusqlite::Result<Fence> {
        let fence = Fence(left.0.checked_add(1).map_or(self.now, |next| self.now.max(next)));
        let changed = self.connection.prepare_cached(MOVE)?.execute(named_params! {
            ":id": order_id.0, ":left": left.0, ":status": state.as_str(), ":fence": fence.0,
        })?;
        if changed == 1 { Ok(fence) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
    }

    /// Notes an order that was there when the horizon was set, so that it is looked after whatever its age.
    pub(super) fn note_begun(&self, order_id: OrderId) -> rusqlite::Result<()> {
        self.connection.prepare_cached(BEGUN)?.execute([order_id.0]).map(drop)
    }

    /// Writes an entry of the timeline, unless that is turned off.
    pub(super) fn note(&self, entry: &Entry<'_>) -> rusqlite::Result<()> {
        if !self.options.events {
            return Ok(());
        }
        let values = named_params! {
            ":order_id": entry.order_id.0,
            ":at": entry.at.0,
            ":state": entry.state.as_str(),
            ":attempt": entry.attempt,
            ":worker": entry.worker,
            ":correlation_id": entry.correlation_id,
            ":note": entry.note.map(truncate_detail),
        };
        self.connection.prepare_cached(EVENT)?.execute(values).map(drop)
    }

    /// Stores a dead letter under `order_id`.
    pub(super) fn insert_dead_letter(&self, letter: &DeadLetter, order_id: Option<OrderId>) -> rusqlite::Result<()> {
        let values = named_params! {
            ":claim_id": letter.claim_id,
            ":order_id": order_id.map(|id| id.0),
            ":payload": letter.payload,
            ":reason": letter.reason.as_str(),
            ":detail": truncate_detail(&letter.detail),
            ":attempts": letter.attempts,
            ":worker": self.options.worker.as_str(),
            ":at": self.now,
        };
        self.connection.prepare_cached(DEAD_LETTER)?.execute(values).map(drop)
    }
}

/// A row of `orders`.
pub(super) struct OrderRow {
    pub(super) view: RowView,
    product_id: i64,
    product: Option<String>,
    quantity: i64,
    pub(super) created_at: Option<i64>,
}

impl OrderRow {
    pub(super) fn into_open_order(self, correlation_id: Option<String>) -> OpenOrder {
        OpenOrder {
            state: self.view.state,
            product_id: self.product_id,
            quantity: self.quantity,
            created_at_micros: self.created_at,
            correlation_id,
        }
    }

    pub(super) fn into_order(self, request: &BeginRequest) -> Order {
        Order {
            id: request.order_id,
            product_id: self.product_id,
            product: self.product,
            quantity: self.quantity,
            created_at_micros: self.created_at,
            attempt: request.attempt,
            correlation_id: request.correlation_id.clone(),
            traceparent: None,
        }
    }
}

fn read_order(row: &Row<'_>, now: i64) -> rusqlite::Result<OrderRow> {
    let status = row.get_ref(2)?;
    let status = status
        .as_str_or_null()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, status.data_type(), Box::new(error)))?;
    let fence: i64 = row.get(4)?;
    Ok(OrderRow {
        view: RowView { state: State::from(status.unwrap_or("null")), fence: Fence(fence), idle: elapsed(fence, now) },
        product_id: row.get(0)?,
        quantity: row.get(1)?,
        created_at: row.get(3)?,
        product: row.get(5)?,
    })
}

/// One row of the timeline.
pub(super) struct Entry<'a> {
    pub(super) order_id: OrderId,
    pub(super) at: Fence,
    pub(super) state: &'a State,
    pub(super) attempt: u32,
    pub(super) worker: &'a str,
    pub(super) correlation_id: Option<&'a str>,
    pub(super) note: Option<&'a str>,
}
