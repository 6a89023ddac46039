//! Keeps the horizon, and judges orders by it.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::sql::Sql;
use super::timestamp::{micros, seconds, timestamp};
use super::{PostgresStore, column};
use crate::domain::order::{OrderId, State};
use crate::port::horizon::{DISORDER, Horizon, Horizons, Moved, Noted, OpenOrder, Standing};
use crate::port::store::StoreError;

/// The worker's own tables that are there. Reads the catalogue, so that it answers without a right to any of them.
const OWN_TABLES: &str = "
SELECT c.relname::text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid {=} c.relnamespace
WHERE n.nspname {=} 'fulfillment'";

/// A row if workers have worked here before.
const TRACES: &str = "
SELECT true
WHERE EXISTS (SELECT FROM fulfillment.leadership)
   OR EXISTS (SELECT FROM fulfillment.events)
   OR EXISTS (SELECT FROM fulfillment.dead_letters)";

/// What is read in place of a table of the worker's own that isn't there yet.
const NO_ROWS: &str = "(SELECT null::int8 AS order_id, null::text AS state WHERE false) ";

/// Which of the worker's own tables are there.
pub(super) struct OwnTables(HashSet<String>);

impl OwnTables {
    pub(super) async fn of(store: &PostgresStore) -> Result<Self, StoreError> {
        let rows = store.query(&Sql::new(OWN_TABLES), &[]).await?;
        Ok(Self(rows.iter().map(|row| column(row, "name")).collect::<Result<_, Failure>>()?))
    }

    fn has(&self, table: &str) -> bool {
        self.0.contains(table)
    }

    /// A statement that reads tables that aren't there as empty ones.
    pub(super) fn only(&self, statement: &str) -> String {
        let missing = ["events", "dead_letters", "begun_orders"].into_iter().filter(|table| !self.has(table));
        missing.fold(statement.to_owned(), |text, table| text.replace(&format!("fulfillment.{table} "), NO_ROWS))
    }
}

#[async_trait]
impl Horizons for PostgresStore {
    async fn noted(&self) -> Result<Noted, StoreError> {
        let own = OwnTables::of(self).await?;
        if !own.has("horizon") {
            return Ok(if own.has("events") { Noted::OlderTables } else { Noted::Nothing });
        }
        let rows = self.query(&self.statements().await?.horizon, &[]).await?;
        if let Some(row) = rows.first() {
            return Ok(Noted::Horizon(horizon(row)?));
        }
        // Somebody has deleted it: which of the orders that are there were begun here, nobody knows any more.
        let traces = self.query(&Sql::bare(TRACES), &[]).await?;
        Ok(if traces.is_empty() { Noted::Nothing } else { Noted::Horizon(Horizon::EVERYTHING) })
    }

    async fn behind_everything(&self) -> Result<Horizon, StoreError> {
        let rows = self.query(&self.statements().await?.behind_everything, &[]).await?;
        Ok(rows.first().map_or(Ok(Horizon::EVERYTHING), horizon)?)
    }

    async fn oldest_open(&self, order_ids: &[OrderId]) -> Result<Option<Timestamp>, StoreError> {
        let ids: Vec<i64> = order_ids.iter().map(|id| id.0).collect();
        let disorder = DISORDER.as_secs_f64();
        let oldest_open = &self.statements().await?.oldest_open;
        let rows = self.query(oldest_open, &[(&ids, Type::INT8_ARRAY), (&disorder, Type::FLOAT8)]).await?;
        Ok(rows.first().map_or(Ok(None), |row| instant(row, "at"))?)
    }

    async fn note(&self, horizon: &Horizon) -> Result<bool, StoreError> {
        let adopt_from = horizon.adopt_from.map(system_time);
        let last_order_id = horizon.last_order_id.map(|id| id.0);
        let note = &self.statements().await?.note_horizon;
        let rows = self.query(note, &[(&adopt_from, Type::TIMESTAMPTZ), (&last_order_id, Type::INT8)]).await?;
        Ok(!rows.is_empty())
    }

    async fn move_to(&self, adopt_from: Timestamp) -> Result<Moved, StoreError> {
        let move_horizon = &self.statements().await?.move_horizon;
        let moved = self.query(move_horizon, &[(&system_time(adopt_from), Type::TIMESTAMPTZ)]).await?;
        if !moved.is_empty() {
            return Ok(Moved::Yes);
        }
        Ok(match self.noted().await? {
            Noted::Horizon(horizon) if horizon.adopt_from.is_none() => Moved::TakesEverything,
            _ => Moved::AlreadyThere,
        })
    }

    async fn judge(
        &self,
        order_ids: &[OrderId],
        horizon: &Horizon,
        max_age: Duration,
    ) -> Result<Vec<OpenOrder>, StoreError> {
        let own = OwnTables::of(self).await?;
        let judge = self.statements().await?.dialect.write(&own.only(include_str!("judge.sql")));
        let ids: Vec<i64> = order_ids.iter().map(|id| id.0).collect();
        let rows = self
            .query(
                &judge,
                &[
                    (&ids, Type::INT8_ARRAY),
                    (&horizon.adopt_from.map(system_time), Type::TIMESTAMPTZ),
                    (&horizon.last_order_id.map(|id| id.0), Type::INT8),
                    (&max_age.as_secs_f64(), Type::FLOAT8),
                ],
            )
            .await?;
        Ok(rows.iter().map(open_order).collect::<Result<_, _>>()?)
    }
}

fn horizon(row: &Row) -> Result<Horizon, Failure> {
    let last_order_id = column::<Option<i64>>(row, "last_order_id")?.map(OrderId);
    Ok(Horizon { adopt_from: instant(row, "adopt_from")?, last_order_id })
}

fn open_order(row: &Row) -> Result<OpenOrder, Failure> {
    let (before_horizon, too_old) = (column::<bool>(row, "before_horizon")?, column::<bool>(row, "too_old")?);
    Ok(OpenOrder {
        order_id: OrderId(column(row, "order_id")?),
        state: State::from(column::<&str>(row, "status")?),
        age: seconds(row, "age")?,
        untouched: seconds(row, "untouched")?,
        standing: match (before_horizon, too_old) {
            (true, _) => Standing::BeforeHorizon,
            (false, true) => Standing::TooOld,
            (false, false) => Standing::TakenIn,
        },
    })
}

/// A `timestamp with time zone`. One beyond the years that can be said becomes the first or last of them.
pub(super) fn instant(row: &Row, name: &str) -> Result<Option<Timestamp>, Failure> {
    let at = column::<Option<SystemTime>>(row, name)?.map(micros);
    let furthest = |micros| if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Ok(at.map(|micros| Timestamp::from_microsecond(micros).unwrap_or_else(|_| furthest(micros))))
}

fn system_time(at: Timestamp) -> SystemTime {
    timestamp(at.as_microsecond())
}
