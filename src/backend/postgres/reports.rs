//! What people and metrics ask: counts, ages, orders and timelines.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::sql::{Parameter, Sql};
use super::timestamp::{micros, seconds};
use super::{PostgresStore, attempts, column, count};
use crate::domain::dead_letter::StoredReason;
use crate::domain::order::{Fence, OrderId, State};
use crate::port::reports::{
    ClockDoubt, ConnectionUse, Correlated, OPEN_ORDERS_LIMIT, OpenDeadLetters, OpenOrders, OpenState, OrderReport,
    Reports, Summary, TimelineEntry, add_orders,
};
use crate::port::store::StoreError;

#[async_trait]
impl Reports for PostgresStore {
    async fn summary(&self) -> Result<Summary, StoreError> {
        let rows = self.query(&self.ready_statements().await?.summary, &[]).await?;
        let mut summary = Summary::empty();
        for row in rows {
            let status: String = column(&row, "status")?;
            let orders = count(column(&row, "orders")?);
            let oldest = seconds(&row, "age")?;
            match State::from(status.as_str()) {
                State::Pending => summary.oldest_pending = oldest,
                State::Processing => summary.oldest_processing = oldest,
                _ => {}
            }
            summary.held = count(column(&row, "held")?);
            add_orders(&mut summary.orders_by_state, &status, orders);
        }
        Ok(summary)
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderReport>, StoreError> {
        let rows = self.query(&self.ready_statements().await?.order, &[(&order_id.0, Type::INT8)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let created_at = column::<Option<SystemTime>>(row, "created_at")?;
        let updated_at = column::<Option<SystemTime>>(row, "updated_at")?;
        Ok(Some(OrderReport {
            id: order_id,
            state: State::from(column::<&str>(row, "status")?),
            product_id: column(row, "product_id")?,
            product: column(row, "product")?,
            quantity: column(row, "quantity")?,
            created_at_micros: created_at.map(micros),
            age: seconds(row, "age")?,
            updated_at_micros: updated_at.map(micros),
            idle: seconds(row, "idle")?,
        }))
    }

    async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, StoreError> {
        let rows = self.query(&self.statements().await?.timeline, &[(&order_id.0, Type::INT8)]).await?;
        let mut entries = rows.iter().map(timeline_entry).collect::<Result<Vec<_>, _>>()?;
        TimelineEntry::fill_in(&mut entries);
        Ok(entries)
    }

    async fn correlated(&self, correlation_id: &str, below: OrderId, limit: usize) -> Result<Correlated, StoreError> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 3] =
            [(&correlation_id, Type::TEXT), (&below.0, Type::INT8), (&most, Type::INT8)];
        if self.knows_correlation_ids().await? {
            let rows = self.look_up(&self.statements().await?.correlated_by_index, &parameters).await?;
            let order_ids: Vec<OrderId> =
                rows.iter().map(|row| column(row, "order_id").map(OrderId)).collect::<Result<_, _>>()?;
            let next = order_ids.last().copied().filter(|_| order_ids.len() >= limit);
            return Ok(Correlated { order_ids, next });
        }
        let rows = self.query(&self.statements().await?.correlated, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(Correlated::default()) };
        let order_ids = column::<Vec<i64>>(row, "order_ids")?.into_iter().map(OrderId).collect();
        let (entries, lowest) = (count(column(row, "entries")?), column(row, "lowest")?);
        Ok(Correlated::page(order_ids, below, limit, entries, lowest))
    }

    async fn open_orders(&self) -> Result<OpenOrders, StoreError> {
        let statements = self.ready_statements().await?;
        let (rows, took) = count_within_limit(self, &statements.open_orders, !statements.dialect.open_by_index).await?;
        let mut open = OpenOrders { took, ..OpenOrders::default() };
        for row in &rows {
            open.doubt = self.clock_doubt(row)?.or(open.doubt);
            open.held = count(column(row, "held")?);
            let Some(status) = column::<Option<&str>>(row, "status")? else { continue };
            let oldest = seconds(row, "age")?;
            if oldest.is_none() && column::<bool>(row, "has_time")? {
                open.doubt = open.doubt.or(Some(ClockDoubt::Ambiguous));
            }
            open.set(&State::from(status), OpenState { orders: count(column(row, "orders")?), oldest });
        }
        let in_doubt = matches!(open.doubt, Some(ClockDoubt::ProducersBehind | ClockDoubt::ZonesDiffer));
        self.ages_in_doubt.store(in_doubt, Ordering::Relaxed);
        if open.doubt == Some(ClockDoubt::ProducersBehind) {
            (open.pending.oldest, open.processing.oldest) = (None, None);
        }
        Ok(open)
    }

    async fn open_dead_letters(&self) -> Result<OpenDeadLetters, StoreError> {
        let (rows, took) = count_within_limit(self, &self.statements().await?.open_dead_letters, false).await?;
        let mut open = OpenDeadLetters { took, ..OpenDeadLetters::default() };
        for row in &rows {
            open.by_reason[StoredReason::of(column(row, "reason")?)] += count(column(row, "letters")?);
        }
        Ok(open)
    }

    fn connections(&self) -> ConnectionUse {
        self.connections.in_use()
    }
}

impl PostgresStore {
    /// Whether an index leads to correlation ids.
    async fn knows_correlation_ids(&self) -> Result<bool, StoreError> {
        let index = "SELECT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indisvalid
                         AND i.indexrelid {=} to_regclass('fulfillment.events_correlation_id')) AS it_is_there";
        let rows = self.query(&Sql::new(index), &[]).await?;
        Ok(rows.first().map_or(Ok(false), |row| column(row, "it_is_there"))?)
    }

    /// What a row of `open_orders.sql` says of the clocks as a whole.
    fn clock_doubt(&self, row: &Row) -> Result<Option<ClockDoubt>, Failure> {
        let newest = column::<Option<i64>>(row, "newest_id")?;
        let newest = newest.map(|id| Ok::<_, Failure>((id, column(row, "newest_age")?))).transpose()?;
        let producers_behind = self.producers.look(newest, Instant::now());
        Ok(match (column(row, "zones_disagree")?, column(row, "doubted")?) {
            (true, _) => Some(ClockDoubt::ZonesDiffer),
            (false, true) => Some(ClockDoubt::FencesBehind),
            (false, false) => producers_behind.then_some(ClockDoubt::ProducersBehind),
        })
    }
}

/// The rows of a count, and how long it took once there was a connection.
async fn count_within_limit(
    store: &PostgresStore,
    statement: &Sql,
    by_key: bool,
) -> Result<(Vec<Row>, Duration), StoreError> {
    let answer = async {
        let mut session = store.connections.session().await?;
        let began = Instant::now();
        let rows = if by_key {
            session.query_by_key_within(OPEN_ORDERS_LIMIT, statement, &[]).await?
        } else {
            session.query_within(OPEN_ORDERS_LIMIT, statement, &[]).await?
        };
        Ok((rows, began.elapsed()))
    };
    store.explain(answer.await).await
}

pub(super) fn timeline_entry(row: &Row) -> Result<TimelineEntry, Failure> {
    Ok(TimelineEntry {
        at: Fence(micros(column(row, "at")?)),
        state: State::from(column::<&str>(row, "state")?),
        attempt: attempts(column(row, "attempt")?),
        worker: column(row, "worker")?,
        correlation_id: column(row, "correlation_id")?,
        note: column(row, "note")?,
    })
}
