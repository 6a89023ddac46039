//! Who reconciles, what may be lost, what is open, and whether every row is accounted for.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::SqliteStore;
use crate::order::{Fence, OrderId, State};
use crate::sqlite::{elapsed, micros, now_micros};
use crate::store::StoreError;
use crate::store::audit::{
    Audit, AuditPage, ClaimedUpTo, OpenOrders, OpenState, Orphan, OrphanSearch, RECONCILER, attempts_spent,
};

const AUDIT: &str = include_str!("audit.sql");
const LEAD: &str = include_str!("lead.sql");
const LEFT_ALONE: &str = include_str!("left_alone.sql");
const OPEN_ORDERS: &str = include_str!("open_orders.sql");
const ORPHANS: &str = include_str!("orphans.sql");
const RESIGN: &str = include_str!("resign.sql");
const STATUS: &str = include_str!("status.sql");

#[async_trait]
impl Audit for SqliteStore {
    async fn lead(&self, term: Duration) -> Result<bool, StoreError> {
        let worker = self.options.worker.clone();
        let lead = move |connection: &Connection| {
            let now = now_micros();
            let until = now.saturating_add(micros(term));
            let changed = connection.prepare_cached(LEAD)?.execute(named_params! {
                ":name": RECONCILER, ":holder": worker.as_str(), ":until": until, ":now": now,
            })?;
            Ok(changed > 0)
        };
        Ok(self.database.write(lead).await?)
    }

    async fn resign(&self) -> Result<(), StoreError> {
        let worker = self.options.worker.clone();
        let resign = move |connection: &Connection| {
            let parameters = named_params! { ":name": RECONCILER, ":holder": worker.as_str() };
            connection.prepare_cached(RESIGN)?.execute(parameters).map(drop)
        };
        Ok(self.database.write(resign).await?)
    }

    async fn orphans(&self, search: &OrphanSearch) -> Result<Vec<Orphan>, StoreError> {
        let (search, lease) = (*search, self.options.lease);
        Ok(self.database.read(move |connection| orphans(connection, &search, lease)).await?)
    }

    async fn left_alone(&self, max_age: Duration) -> Result<u64, StoreError> {
        let count = move |connection: &Connection| {
            let oldest = now_micros().saturating_sub(micros(max_age));
            let mut count = connection.prepare_cached(LEFT_ALONE)?;
            count.query_row(named_params! { ":oldest": oldest }, |row| row.get::<_, i64>(0))
        };
        Ok(self.database.read(count).await?.unsigned_abs())
    }

    async fn open_orders(&self) -> Result<OpenOrders, StoreError> {
        Ok(self.database.read(open_orders).await?)
    }

    async fn audit(&self, after: OrderId, limit: usize) -> Result<AuditPage, StoreError> {
        Ok(self.database.read(move |connection| audit(connection, after, limit)).await?)
    }

    async fn states(&self, order_ids: &[OrderId]) -> Result<Vec<Option<State>>, StoreError> {
        let order_ids = order_ids.to_vec();
        Ok(self.database.read(move |connection| states(connection, &order_ids)).await?)
    }
}

fn orphans(connection: &Connection, search: &OrphanSearch, lease: Duration) -> rusqlite::Result<Vec<Orphan>> {
    let now = now_micros();
    let before = |age: Duration| now.saturating_sub(micros(age));
    let claimed = match search.claimed_up_to {
        ClaimedUpTo::Unknown => None,
        ClaimedUpTo::CreatedAt(created_at) => Some(created_at.min(now)),
        ClaimedUpTo::Everything => Some(now),
    };
    let mut select = connection.prepare_cached(ORPHANS)?;
    let found = select.query_map(
        named_params! {
            ":created_before": claimed.map(|claimed| claimed.saturating_sub(micros(search.grace))),
            ":everything": search.claimed_up_to == ClaimedUpTo::Everything,
            ":idle_since": before(search.grace),
            ":silent_since": before(search.grace + lease),
            ":oldest": before(search.max_age),
            ":after": search.after.0,
            ":limit": i64::try_from(search.limit).unwrap_or(i64::MAX),
        },
        |row| {
            let state = State::from(row.get::<_, String>(3)?.as_str());
            let last = row.get::<_, Option<String>>(5)?.map(|last| State::from(last.as_str()));
            let last_attempt = row.get::<_, Option<u32>>(6)?.unwrap_or(0);
            Ok(Orphan {
                order_id: OrderId(row.get(0)?),
                product_id: row.get(1)?,
                quantity: row.get(2)?,
                fence: Fence(row.get(4)?),
                attempts: attempts_spent(&state, last.map(|last| (last, last_attempt))),
                correlation_id: row.get(7)?,
                state,
            })
        },
    )?;
    found.collect()
}

fn open_orders(connection: &Connection) -> rusqlite::Result<OpenOrders> {
    let now = now_micros();
    let mut count = connection.prepare_cached(OPEN_ORDERS)?;
    let mut rows = count.query([])?;
    let mut open = OpenOrders::default();
    while let Some(row) = rows.next()? {
        let (status, orders, oldest): (String, i64, Option<i64>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let oldest = oldest.map(|created_at| elapsed(created_at, now));
        open.set(&State::from(status.as_str()), OpenState { orders: orders.unsigned_abs(), oldest });
    }
    Ok(open)
}

fn audit(connection: &Connection, after: OrderId, limit: usize) -> rusqlite::Result<AuditPage> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(AUDIT)?;
    let mut rows = select.query(named_params! { ":after": after.0, ":limit": limit })?;
    let mut page = AuditPage::default();
    while let Some(row) = rows.next()? {
        let order_id = OrderId(row.get(0)?);
        page.last = Some(order_id);
        page.add(&row.get::<_, String>(1)?, &row.get::<_, String>(2)?, 1, std::iter::once(order_id));
    }
    Ok(page)
}

fn states(connection: &Connection, order_ids: &[OrderId]) -> rusqlite::Result<Vec<Option<State>>> {
    let mut select = connection.prepare_cached(STATUS)?;
    let mut state = |order_id: &OrderId| {
        let status: Option<String> = select.query_row([order_id.0], |row| row.get(0)).optional()?;
        Ok(status.map(|status| State::from(status.as_str())))
    };
    order_ids.iter().map(&mut state).collect()
}
