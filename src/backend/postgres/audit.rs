//! Who reconciles, what may be lost, what is open, and whether every row is accounted for.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::reports::{attempts, count};
use super::timestamp::{elapsed, micros, timestamp};
use super::{PostgresStore, column};
use crate::domain::order::{Fence, OrderId, State};
use crate::port::reconciliation::{
    Audit, AuditPage, ClaimedUpTo, OPEN_ORDERS_LIMIT, OpenOrders, OpenState, Orphan, OrphanSearch, RECONCILER,
    attempts_spent,
};
use crate::port::store::StoreError;
use crate::testing::mutant::source;

#[async_trait]
impl Audit for PostgresStore {
    async fn lead(&self, term: Duration) -> Result<bool, StoreError> {
        self.explain(lead(self, term).await).await
    }

    async fn resign(&self) -> Result<(), StoreError> {
        self.explain(resign(self).await).await
    }

    async fn orphans(&self, search: &OrphanSearch) -> Result<Vec<Orphan>, StoreError> {
        self.explain(orphans(self, search).await).await
    }

    async fn left_alone(&self, max_age: Duration) -> Result<u64, StoreError> {
        self.explain(left_alone(self, max_age).await).await
    }

    async fn open_orders(&self) -> Result<OpenOrders, StoreError> {
        self.explain(open_orders(self).await).await
    }

    async fn audit(&self, after: OrderId, limit: usize) -> Result<AuditPage, StoreError> {
        self.explain(audit(self, after, limit).await).await
    }

    async fn states(&self, order_ids: &[OrderId]) -> Result<Vec<Option<State>>, StoreError> {
        self.explain(states(self, order_ids).await).await
    }
}

async fn lead(store: &PostgresStore, term: Duration) -> Result<bool, Failure> {
    let rows = store
        .connections
        .query(
            include_str!("lead.sql"),
            &[(&RECONCILER, Type::TEXT), (&store.worker.as_str(), Type::TEXT), (&term.as_secs_f64(), Type::FLOAT8)],
        )
        .await?;
    Ok(!rows.is_empty())
}

async fn resign(store: &PostgresStore) -> Result<(), Failure> {
    let parameters: [super::connection::Parameter<'_>; 2] =
        [(&RECONCILER, Type::TEXT), (&store.worker.as_str(), Type::TEXT)];
    store.connections.query(include_str!("resign.sql"), &parameters).await.map(drop)
}

async fn orphans(store: &PostgresStore, search: &OrphanSearch) -> Result<Vec<Orphan>, Failure> {
    let (claimed, pending_too) = match search.claimed_up_to {
        ClaimedUpTo::Unknown => (None, false),
        ClaimedUpTo::CreatedAt(created_at) => (Some(timestamp(created_at)), true),
        ClaimedUpTo::Everything => (None, true),
    };
    let rows = store
        .connections
        .query(
            source!("orphans.sql"),
            &[
                (&claimed, Type::TIMESTAMP),
                (&pending_too, Type::BOOL),
                (&search.grace.as_secs_f64(), Type::FLOAT8),
                (&store.lease.as_secs_f64(), Type::FLOAT8),
                (&search.max_age.as_secs_f64(), Type::FLOAT8),
                (&search.after.0, Type::INT8),
                (&i64::try_from(search.limit).unwrap_or(i64::MAX), Type::INT8),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let state = State::from(column::<&str>(row, "status")?);
            let last = column::<Option<&str>>(row, "last_state")?.map(State::from);
            let last_attempt = column::<Option<i32>>(row, "last_attempt")?.map_or(0, attempts);
            Ok(Orphan {
                order_id: OrderId(column(row, "order_id")?),
                product_id: column(row, "product_id")?,
                quantity: column(row, "quantity")?,
                fence: Fence(column::<Option<SystemTime>>(row, "updated_at")?.map_or(0, micros)),
                attempts: attempts_spent(&state, last.map(|last| (last, last_attempt))),
                correlation_id: column(row, "correlation_id")?,
                state,
            })
        })
        .collect()
}

async fn left_alone(store: &PostgresStore, max_age: Duration) -> Result<u64, Failure> {
    let rows =
        store.connections.query(include_str!("left_alone.sql"), &[(&max_age.as_secs_f64(), Type::FLOAT8)]).await?;
    rows.first().map_or(Ok(0), |row| Ok(column::<i64>(row, "orders")?.unsigned_abs()))
}

async fn open_orders(store: &PostgresStore) -> Result<OpenOrders, Failure> {
    let mut session = store.connections.session().await?;
    let began = Instant::now();
    let rows = session.query_within(OPEN_ORDERS_LIMIT, include_str!("open_orders.sql"), &[]).await?;
    let mut open = OpenOrders { took: began.elapsed(), ..OpenOrders::default() };
    for row in &rows {
        let read_at = column::<SystemTime>(row, "read_at")?;
        let oldest = column::<Option<SystemTime>>(row, "oldest_created_at")?;
        let oldest = oldest.map(|created_at| elapsed(created_at, read_at));
        let found = OpenState { orders: count(column(row, "orders")?), oldest };
        open.set(&State::from(column::<&str>(row, "status")?), found);
    }
    Ok(open)
}

async fn audit(store: &PostgresStore, after: OrderId, limit: usize) -> Result<AuditPage, Failure> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        store.connections.query(include_str!("audit.sql"), &[(&after.0, Type::INT8), (&limit, Type::INT8)]).await?;
    let mut page = AuditPage::default();
    for row in rows {
        let last = column::<i64>(&row, "last")?;
        page.last = page.last.max(Some(OrderId(last)));
        let order_ids = column::<Option<Vec<i64>>>(&row, "order_ids")?.unwrap_or_default();
        let orders = column::<i64>(&row, "orders")?.unsigned_abs();
        page.add(column(&row, "status")?, column(&row, "finding")?, orders, order_ids.into_iter().map(OrderId));
    }
    page.sort();
    Ok(page)
}

async fn states(store: &PostgresStore, order_ids: &[OrderId]) -> Result<Vec<Option<State>>, Failure> {
    let ids: Vec<i64> = order_ids.iter().map(|id| id.0).collect();
    let rows = store.connections.query(include_str!("states.sql"), &[(&ids, Type::INT8_ARRAY)]).await?;
    let mut states = HashMap::with_capacity(rows.len());
    for row in &rows {
        states.insert(column::<i64>(row, "order_id")?, State::from(column::<&str>(row, "status")?));
    }
    Ok(ids.iter().map(|id| states.get(id).cloned()).collect())
}
