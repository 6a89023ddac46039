//! Elects the reconciler, and finds orders that may have lost their message.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::horizon::instant;
use super::sql::{Parameter, Sql};
use super::timestamp::{micros, timestamp};
use super::{PostgresStore, attempts, column, count};
use crate::domain::order::{Fence, OrderId, State, attempts_spent};
use crate::port::reconciliation::{
    ClaimedUpTo, LostOrder, LostOrderSearch, OlderOrders, RECONCILER, Reconciliation, Sweep,
};
use crate::port::store::StoreError;

/// Orders that one sweep looks at on either side of the low-water mark.
const SWEPT_AT_ONCE: i64 = 10_000;

/// Orders below the mark that are noted as open, at most, but for those that a redrive notes.
const MOST_STRAGGLERS: i64 = 100_000;

const RESTORE_MARK: &str = "INSERT INTO fulfillment.low_water_mark DEFAULT VALUES ON CONFLICT DO NOTHING";

/// The greatest ids, which the mark never passes: they are open more often than not, and ids that were reserved in blocks come late.
const NEWEST_ORDERS: i64 = 10_000;

#[async_trait]
impl Reconciliation for PostgresStore {
    async fn lead(&self, term: Duration) -> Result<bool, StoreError> {
        self.take_lead(RECONCILER, term).await
    }

    async fn resign(&self) -> Result<(), StoreError> {
        self.give_up_lead(RECONCILER).await
    }

    async fn lost_orders(&self, search: &LostOrderSearch) -> Result<Vec<LostOrder>, StoreError> {
        let (claimed, pending_too) = match search.claimed_up_to {
            ClaimedUpTo::Unknown => (None, false),
            ClaimedUpTo::CreatedAt(created_at) => (Some(timestamp(created_at)), true),
            ClaimedUpTo::Everything => (None, true),
        };
        let statements = self.ready_statements().await?;
        let rows = self
            .query_open(
                &statements,
                &statements.lost_orders,
                &[
                    (&claimed, statements.dialect.created_at()),
                    (&pending_too, Type::BOOL),
                    (&search.grace.as_secs_f64(), Type::FLOAT8),
                    (&self.lease.as_secs_f64(), Type::FLOAT8),
                    (&search.max_age.as_secs_f64(), Type::FLOAT8),
                    (&search.after.0, Type::INT8),
                    (&i64::try_from(search.limit).unwrap_or(i64::MAX), Type::INT8),
                ],
            )
            .await?;
        Ok(rows.iter().map(lost_order).collect::<Result<_, _>>()?)
    }

    async fn stale_orders(&self, max_age: Duration) -> Result<u64, StoreError> {
        let statements = self.ready_statements().await?;
        let max_age: [Parameter<'_>; 1] = [(&max_age.as_secs_f64(), Type::FLOAT8)];
        let rows = self.query_open(&statements, &statements.stale_orders, &max_age).await?;
        rows.first().map_or(Ok(0), |row| Ok(count(column(row, "orders")?)))
    }

    async fn orders_before_horizon(&self) -> Result<OlderOrders, StoreError> {
        let statements = self.ready_statements().await?;
        let rows = self.query_open(&statements, &statements.before_horizon, &[]).await?;
        let read =
            |row| Ok(OlderOrders { orders: count(column(row, "orders")?), adopt_from: instant(row, "adopt_from")? });
        Ok(rows.first().map_or(Ok(OlderOrders::default()), read).map_err(|failure: Failure| failure)?)
    }

    async fn sweep(&self) -> Result<Option<Sweep>, StoreError> {
        let statements = self.ready_statements().await?;
        if statements.dialect.open_by_index {
            return Ok(None);
        }
        let parameters: [Parameter<'_>; 3] =
            [(&SWEPT_AT_ONCE, Type::INT8), (&MOST_STRAGGLERS, Type::INT8), (&NEWEST_ORDERS, Type::INT8)];
        let rows = self.query_open(&statements, &statements.sweep, &parameters).await?;
        let Some(row) = rows.first() else { return self.restore_mark().await };
        Ok(Some(Sweep {
            orders: count(column(row, "orders")?),
            found: count(column(row, "found")?),
            goes_on: column(row, "goes_on")?,
            is_through: column(row, "swept")?,
        }))
    }
}

impl PostgresStore {
    /// Makes the row of the low-water mark anew, which somebody has deleted. Without it all orders are read, and none is lost.
    async fn restore_mark(&self) -> Result<Option<Sweep>, StoreError> {
        match self.query(&Sql::bare(RESTORE_MARK), &[]).await {
            Ok(_) => Ok(Some(Sweep { goes_on: true, ..Sweep::default() })),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => Err(StoreError::Refused(format!(
                "fulfillment.low_water_mark has lost its row, and this role may not put it back ({error}): its owner may, with \
                 `{RESTORE_MARK}`; until then every look for open orders reads the whole table"
            ))),
        }
    }

    /// Takes or keeps the lead of this name.
    pub(super) async fn take_lead(&self, name: &str, term: Duration) -> Result<bool, StoreError> {
        let parameters: [Parameter<'_>; 3] =
            [(&name, Type::TEXT), (&self.worker.as_str(), Type::TEXT), (&term.as_secs_f64(), Type::FLOAT8)];
        Ok(!self.query(&self.statements().await?.lead, &parameters).await?.is_empty())
    }

    /// Gives it up, if this worker has it.
    pub(super) async fn give_up_lead(&self, name: &str) -> Result<(), StoreError> {
        let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&self.worker.as_str(), Type::TEXT)];
        self.query(&self.statements().await?.resign, &parameters).await.map(drop)
    }
}

fn lost_order(row: &Row) -> Result<LostOrder, Failure> {
    let state = State::from(column::<&str>(row, "status")?);
    let last = column::<Option<&str>>(row, "last_state")?.map(State::from);
    let last_attempt = column::<Option<i32>>(row, "last_attempt")?.map_or(0, attempts);
    Ok(LostOrder {
        order_id: OrderId(column(row, "order_id")?),
        product_id: column(row, "product_id")?,
        quantity: column(row, "quantity")?,
        fence: Fence(column::<Option<SystemTime>>(row, "updated_at")?.map_or(0, micros)),
        attempts: attempts_spent(&state, last.map(|last| (last, last_attempt))),
        correlation_id: column(row, "correlation_id")?,
        state,
    })
}
