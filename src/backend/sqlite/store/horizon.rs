//! Keeps the horizon, and judges orders by it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::SqliteStore;
use crate::backend::sqlite::database::{elapsed, micros, now_micros};
use crate::domain::order::{OrderId, State};
use crate::port::horizon::{DISORDER, Horizon, Horizons, Moved, Noted, OpenOrder, Standing};
use crate::port::store::StoreError;

/// In microseconds.
const DAY: i64 = 24 * 3_600 * 1_000_000;

/// Stands for a horizon that takes in orders of every age.
const EVERYTHING: i64 = i64::MIN;

const NOTED: &str = "SELECT adopt_from, last_order_id FROM fulfillment_horizon";

/// A row if workers have worked here before.
const TRACES: &str = "
SELECT 1
WHERE EXISTS (SELECT 1 FROM fulfillment_leadership)
   OR EXISTS (SELECT 1 FROM fulfillment_events)
   OR EXISTS (SELECT 1 FROM fulfillment_dead_letters)";

const NOTE: &str = "
INSERT OR IGNORE INTO fulfillment_horizon (adopt_from, last_order_id, noted_at) VALUES (:adopt_from, :last_order_id, :now)";

/// Moves it, unless it lies there or orders of every age are taken in.
const MOVE: &str = "
UPDATE fulfillment_horizon SET adopt_from = :adopt_from, noted_at = :now
WHERE adopt_from <> :adopt_from AND adopt_from <> :everything";

/// The newest open order that was created before `:tomorrow`, and the greatest id. The condition on 'fulfilled' lets the
/// index be used.
const NEWEST: &str = "
SELECT (
           SELECT max(coalesce(created_at, updated_at)) FROM orders
           WHERE status IS NOT 'fulfilled' AND status IN ('pending', 'processing')
             AND coalesce(created_at, updated_at) < :tomorrow
       ),
       (SELECT max(id) FROM orders)";

/// When an open order was created and last touched, and whether it was begun here.
const OPEN_ORDER: &str = "
SELECT status, coalesce(created_at, updated_at), coalesce(updated_at, created_at),
       EXISTS (SELECT 1 FROM fulfillment_begun_orders b WHERE b.order_id = orders.id)
FROM orders
WHERE id = ?1 AND status IN ('pending', 'processing')";

#[async_trait]
impl Horizons for SqliteStore {
    async fn noted(&self) -> Result<Noted, StoreError> {
        Ok(self.database.read(noted).await?)
    }

    async fn behind_everything(&self) -> Result<Horizon, StoreError> {
        let read = |connection: &Connection| {
            let now = now_micros();
            let tomorrow = now.saturating_add(DAY);
            connection.prepare_cached(NEWEST)?.query_row(named_params! { ":tomorrow": tomorrow }, |row| {
                let newest: Option<i64> = row.get(0)?;
                let adopt_from = newest.map_or(now, |newest| now.max(newest.saturating_add(1)));
                Ok(Horizon {
                    adopt_from: instant(adopt_from),
                    last_order_id: row.get::<_, Option<i64>>(1)?.map(OrderId),
                })
            })
        };
        Ok(self.database.read(read).await?)
    }

    async fn oldest_open(&self, order_ids: &[OrderId]) -> Result<Option<Timestamp>, StoreError> {
        let order_ids = order_ids.to_vec();
        let read = move |connection: &Connection| {
            let mut created = Vec::with_capacity(order_ids.len());
            for order_id in order_ids {
                created.extend(row(connection, order_id)?.and_then(|found| found.created));
            }
            Ok(created)
        };
        let created: Vec<i64> = self.database.read(read).await?;
        let Some(first) = created.first() else { return Ok(None) };
        let earliest = first.saturating_sub(micros(DISORDER));
        Ok(created.iter().copied().filter(|created| *created >= earliest).min().and_then(instant))
    }

    async fn note(&self, horizon: &Horizon) -> Result<bool, StoreError> {
        let horizon = *horizon;
        let write = move |connection: &Connection| {
            let written = connection.prepare_cached(NOTE)?.execute(named_params! {
                ":adopt_from": horizon.adopt_from.map_or(EVERYTHING, Timestamp::as_microsecond),
                ":last_order_id": horizon.last_order_id.map(|id| id.0),
                ":now": now_micros(),
            })?;
            Ok(written == 1)
        };
        Ok(self.database.write(write).await?)
    }

    async fn move_to(&self, adopt_from: Timestamp) -> Result<Moved, StoreError> {
        let write = move |connection: &Connection| {
            let moved = connection.prepare_cached(MOVE)?.execute(named_params! {
                ":adopt_from": adopt_from.as_microsecond(), ":now": now_micros(), ":everything": EVERYTHING,
            })?;
            Ok(match (moved, noted(connection)?) {
                (1, _) => Moved::Yes,
                (_, Noted::Horizon(horizon)) if horizon.adopt_from.is_none() => Moved::TakesEverything,
                _ => Moved::AlreadyThere,
            })
        };
        Ok(self.database.write(write).await?)
    }

    async fn judge(
        &self,
        order_ids: &[OrderId],
        horizon: &Horizon,
        max_age: Duration,
    ) -> Result<Vec<OpenOrder>, StoreError> {
        let (mut order_ids, horizon) = (order_ids.to_vec(), *horizon);
        order_ids.sort_unstable();
        let judge = move |connection: &Connection| {
            let (now, mut judged) = (now_micros(), Vec::with_capacity(order_ids.len()));
            for order_id in order_ids {
                judged.extend(row(connection, order_id)?.map(|found| found.judge(order_id, &horizon, now, max_age)));
            }
            Ok(judged)
        };
        Ok(self.database.read(judge).await?)
    }
}

/// What there is to judge an open order by.
struct Found {
    state: State,
    created: Option<i64>,
    touched: Option<i64>,
    begun: bool,
}

impl Found {
    fn judge(self, order_id: OrderId, horizon: &Horizon, now: i64, max_age: Duration) -> OpenOrder {
        let Self { state, created, touched, begun } = self;
        let was_there = horizon.last_order_id.is_some_and(|last| order_id <= last);
        let before = horizon.adopt_from.map_or(EVERYTHING, Timestamp::as_microsecond);
        // A time from tomorrow on is an error in the row, and the id alone decides.
        let tomorrow = now.saturating_add(DAY);
        let is_older = was_there && created.is_none_or(|created| created < before || created > tomorrow);
        let is_too_old = touched.is_some_and(|touched| touched < now.saturating_sub(micros(max_age)));
        let since = |at: Option<i64>| at.filter(|at| *at <= now).map(|at| elapsed(at, now));
        OpenOrder {
            order_id,
            state,
            age: since(created),
            untouched: since(touched),
            standing: match (is_older && !begun, is_too_old) {
                (true, _) => Standing::BeforeHorizon,
                (false, true) => Standing::TooOld,
                (false, false) => Standing::TakenIn,
            },
        }
    }
}

fn row(connection: &Connection, order_id: OrderId) -> rusqlite::Result<Option<Found>> {
    let read = |row: &Row<'_>| {
        let state = State::from(row.get::<_, String>(0)?.as_str());
        Ok(Found { state, created: row.get(1)?, touched: row.get(2)?, begun: row.get(3)? })
    };
    connection.prepare_cached(OPEN_ORDER)?.query_row([order_id.0], read).optional()
}

fn noted(connection: &Connection) -> rusqlite::Result<Noted> {
    let read = |row: &Row<'_>| {
        let last_order_id = row.get::<_, Option<i64>>(1)?.map(OrderId);
        Ok(Noted::Horizon(Horizon { adopt_from: instant(row.get(0)?), last_order_id }))
    };
    if let Some(noted) = connection.prepare_cached(NOTED)?.query_row([], read).optional()? {
        return Ok(noted);
    }
    // Somebody has deleted it: which of the orders that are there were begun here, nobody knows any more.
    let has_worked = connection.prepare_cached(TRACES)?.exists([])?;
    Ok(if has_worked { Noted::Horizon(Horizon::EVERYTHING) } else { Noted::Nothing })
}

/// `None` where it stands for every age.
pub(super) fn instant(micros: i64) -> Option<Timestamp> {
    let furthest = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    (micros != EVERYTHING).then(|| Timestamp::from_microsecond(micros).unwrap_or(furthest))
}
