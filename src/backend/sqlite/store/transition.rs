//! The transitions: read the row, ask [`admit`], write.

use async_trait::async_trait;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, named_params};

use super::dead_letter_writer::{self, DeadLetterWriter};
use super::row_by_row::row_by_row;
use super::{SqliteStore, SqliteStoreOptions};
use crate::backend::sqlite::database::{elapsed, now_micros};
use crate::domain::order::{Fence, Order, OrderId, Refusal, RowView, State, Step, admit};
use crate::domain::text::truncate_detail;
use crate::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Renewal, Renewed, StoreError, TAKEN_OVER, Target, Verdict,
};

const ROW: &str = include_str!("row.sql");
const EVENT: &str = include_str!("event.sql");

/// Writes a transition that was admitted. It names the fence it leaves, though within the transaction that read it
/// nothing can have moved it.
const MOVE: &str =
    "UPDATE orders SET status = :status, updated_at = :fence WHERE id = :id AND coalesce(updated_at, 0) = :left";

#[async_trait]
impl OrderStore for SqliteStore {
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        let (requests, options) = (requests.to_vec(), self.options.clone());
        Ok(self.database.write(move |connection| begin(connection, &options, &requests)).await?)
    }

    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        let renewals = renewals.to_vec();
        Ok(self.database.write(move |connection| renew(connection, &renewals)).await?)
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        let (conclusions, options) = (conclusions.to_vec(), self.options.clone());
        Ok(self.database.write(move |connection| conclude(connection, &options, &conclusions)).await?)
    }

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let (letters, worker) = (letters.to_vec(), self.options.worker.clone());
        Ok(self.database.write(move |connection| dead_letter_writer::insert(connection, &worker, &letters)).await?)
    }
}

fn begin(
    connection: &Connection,
    options: &SqliteStoreOptions,
    requests: &[BeginRequest],
) -> rusqlite::Result<Vec<Begun>> {
    let mut orders = Orders::new(connection)?;
    let mut timeline = Timeline::new(connection, options)?;
    row_by_row(connection, requests, Begun::Refused, |request| {
        let Some(row) = orders.read(request.order_id)? else {
            return Ok(Begun::Unknown);
        };
        let state = match admit(&row.view, Step::Begin { lease: options.lease }) {
            Ok(state) => state,
            Err(refusal) => return Ok(not_begun(row.view.state, refusal)),
        };
        let takeover = row.view.state == State::Processing;
        let is_first = !takeover && request.attempt == 1;
        let waited = row.created_at.filter(|_| is_first).map(|created_at| elapsed(created_at, orders.now));
        let fence = orders.enter(request.order_id, &state, row.view.fence)?;
        timeline.note(&Entry {
            order_id: request.order_id,
            at: fence,
            state: &state,
            attempt: request.attempt,
            correlation_id: request.correlation_id.as_deref(),
            note: takeover.then_some(TAKEN_OVER),
        })?;
        Ok(Begun::Started { order: row.into_order(request), fence, takeover, waited })
    })
}

fn not_begun(state: State, refusal: Refusal) -> Begun {
    match refusal {
        Refusal::Busy(left) => Begun::Busy(left),
        Refusal::NotOurs => Begun::NotOurs(state.as_str().to_owned()),
        Refusal::Final | Refusal::Superseded => Begun::AlreadyFinal(state),
    }
}

/// A row that the database refuses keeps its lease no longer, which the holder learns as a row that has moved on.
fn renew(connection: &Connection, renewals: &[Renewal]) -> rusqlite::Result<Vec<Renewed>> {
    let mut orders = Orders::new(connection)?;
    row_by_row(
        connection,
        renewals,
        |_| Renewed::Lost,
        |renewal| {
            let Some(row) = orders.read(renewal.order_id)? else {
                return Ok(Renewed::Lost);
            };
            match admit(&row.view, Step::Renew(renewal.fence)) {
                Ok(state) => orders.enter(renewal.order_id, &state, row.view.fence).map(Renewed::Kept),
                Err(_) => Ok(Renewed::Lost),
            }
        },
    )
}

fn conclude(
    connection: &Connection,
    options: &SqliteStoreOptions,
    conclusions: &[Conclusion],
) -> rusqlite::Result<Vec<Verdict>> {
    let mut orders = Orders::new(connection)?;
    let mut timeline = Timeline::new(connection, options)?;
    let mut dead_letters = DeadLetterWriter::new(connection, &options.worker)?;
    row_by_row(connection, conclusions, Verdict::Refused, |conclusion| {
        let Some(row) = orders.read(conclusion.order_id)? else {
            return Ok(Verdict::Superseded(None));
        };
        let age = row.created_at.map(|created_at| elapsed(created_at, orders.now));
        let Ok(state) = admit(&row.view, step(conclusion)) else {
            return Ok(match conclusion {
                applied if was_applied(applied, &row.view) => Verdict::Done { age },
                _ => Verdict::Superseded(Some(row.view.state)),
            });
        };
        let fence = orders.enter(conclusion.order_id, &state, row.view.fence)?;
        timeline.note(&Entry {
            order_id: conclusion.order_id,
            at: fence,
            state: &state,
            attempt: conclusion.attempt,
            correlation_id: conclusion.correlation_id.as_deref(),
            note: conclusion.to.note(),
        })?;
        if let Target::Failed(letter) = &conclusion.to {
            dead_letters.insert(letter, Some(conclusion.order_id))?;
        }
        Ok(Verdict::Done { age })
    })
}

fn step(conclusion: &Conclusion) -> Step {
    match conclusion.to {
        Target::Fulfilled { .. } => Step::Fulfil(conclusion.fence),
        Target::Pending { .. } => Step::Release(conclusion.fence),
        Target::Failed(_) => Step::Fail(conclusion.fence),
    }
}

/// See [`Conclusion::maybe_applied`].
fn was_applied(conclusion: &Conclusion, row: &RowView) -> bool {
    conclusion.maybe_applied && row.state == conclusion.to.state() && row.fence > conclusion.fence
}

/// A row of `orders`.
pub(super) struct OrderRow {
    pub(super) view: RowView,
    product_id: i64,
    product: Option<String>,
    quantity: i64,
    created_at: Option<i64>,
}

impl OrderRow {
    fn into_order(self, request: &BeginRequest) -> Order {
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

/// The statements on `orders`, and the time at which all of a batch happens.
pub(super) struct Orders<'c> {
    read: CachedStatement<'c>,
    enter: CachedStatement<'c>,
    now: i64,
}

impl<'c> Orders<'c> {
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self { read: connection.prepare_cached(ROW)?, enter: connection.prepare_cached(MOVE)?, now: now_micros() })
    }

    pub(super) fn read(&mut self, order_id: OrderId) -> rusqlite::Result<Option<OrderRow>> {
        let now = self.now;
        self.read.query_row([order_id.0], |row| read_order(row, now)).optional()
    }

    /// Writes the state and a fence that is larger than the one left, even if the clock was put back.
    pub(super) fn enter(&mut self, order_id: OrderId, state: &State, left: Fence) -> rusqlite::Result<Fence> {
        let fence = Fence(left.0.checked_add(1).map_or(self.now, |next| self.now.max(next)));
        let changed = self.enter.execute(named_params! {
            ":id": order_id.0, ":left": left.0, ":status": state.as_str(), ":fence": fence.0,
        })?;
        if changed == 1 { Ok(fence) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
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

/// One row of the timeline, but for the worker.
pub(super) struct Entry<'a> {
    pub(super) order_id: OrderId,
    pub(super) at: Fence,
    pub(super) state: &'a State,
    pub(super) attempt: u32,
    pub(super) correlation_id: Option<&'a str>,
    pub(super) note: Option<&'a str>,
}

/// Writes the timeline, unless that is turned off.
pub(super) struct Timeline<'c> {
    insert: Option<CachedStatement<'c>>,
    worker: &'c str,
}

impl<'c> Timeline<'c> {
    pub(super) fn new(connection: &'c Connection, options: &'c SqliteStoreOptions) -> rusqlite::Result<Self> {
        let insert = options.events.then(|| connection.prepare_cached(EVENT)).transpose()?;
        Ok(Self { insert, worker: options.worker.as_str() })
    }

    pub(super) fn note(&mut self, entry: &Entry<'_>) -> rusqlite::Result<()> {
        let Some(insert) = &mut self.insert else {
            return Ok(());
        };
        insert.execute(named_params! {
            ":order_id": entry.order_id.0,
            ":at": entry.at.0,
            ":state": entry.state.as_str(),
            ":attempt": entry.attempt,
            ":worker": self.worker,
            ":correlation_id": entry.correlation_id,
            ":note": entry.note.map(truncate_detail),
        })?;
        Ok(())
    }
}
