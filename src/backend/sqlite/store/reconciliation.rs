//! Elects the reconciler, and finds orders that may have lost their message.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, named_params};

use super::SqliteStore;
use super::horizon::instant;
use super::observed::{any_ahead, note_all};
use crate::backend::sqlite::database::{micros, now_micros};
use crate::domain::order::{Fence, OrderId, State, attempts_spent};
use crate::port::reconciliation::{
    ClaimedUpTo, LostOrder, LostOrderSearch, OlderOrders, RECONCILER, Reconciliation, Sweep,
};
use crate::port::store::StoreError;

const LOST_ORDERS: &str = include_str!("lost_orders.sql");

/// Takes or keeps the lead `:name` for worker `:holder` until `:until`. Changes no row if another one has it at `:now`.
const LEAD: &str = "
INSERT INTO fulfillment_leadership (name, holder, until) VALUES (:name, :holder, :until)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE fulfillment_leadership.holder = excluded.holder OR fulfillment_leadership.until < :now";

/// Ends the lead `:name`, if worker `:holder` has it.
const RESIGN: &str = "UPDATE fulfillment_leadership SET until = 0 WHERE name = :name AND holder = :holder";

/// How long it is known, at least, since when a fence in the future has been seen.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Number of open orders that nothing has touched since before `:oldest`, neither a worker nor the end of a hold.
const STALE_ORDERS: &str = "
SELECT count(*)
FROM orders
WHERE status IS NOT 'fulfilled' AND status IN ('pending', 'processing') AND coalesce(updated_at, created_at) < :oldest
  AND NOT EXISTS (
      SELECT 1 FROM fulfillment_holds h WHERE h.order_id = orders.id AND (h.until IS NULL OR h.until > :oldest)
  )";

/// Number of open orders that are older than the horizon and were never begun here, and where it lies.
const BEFORE_HORIZON: &str = "
SELECT count(o.id), min(h.adopt_from)
FROM fulfillment_horizon h
LEFT JOIN orders o
    ON o.status IS NOT 'fulfilled' AND o.status IN ('pending', 'processing')
   AND o.id <= h.last_order_id
   AND (
       (coalesce(o.created_at, o.updated_at) < h.adopt_from) IS NOT FALSE
       OR o.created_at > (unixepoch() + 86400) * 1000000
   )
   AND NOT EXISTS (SELECT 1 FROM fulfillment_begun_orders b WHERE b.order_id = o.id)";

impl SqliteStore {
    /// Takes or keeps the lead of this name.
    pub(super) async fn take_lead(&self, name: &'static str, term: Duration) -> Result<bool, StoreError> {
        let worker = self.options.worker.clone();
        let lead = move |connection: &Connection| {
            let now = now_micros();
            let until = now.saturating_add(micros(term));
            let changed = connection.prepare_cached(LEAD)?.execute(named_params! {
                ":name": name, ":holder": worker.as_str(), ":until": until, ":now": now,
            })?;
            Ok(changed > 0)
        };
        Ok(self.database.write(lead).await?)
    }

    /// Gives it up, if this worker has it.
    pub(super) async fn give_up_lead(&self, name: &'static str) -> Result<(), StoreError> {
        let worker = self.options.worker.clone();
        let resign = move |connection: &Connection| {
            let parameters = named_params! { ":name": name, ":holder": worker.as_str() };
            connection.prepare_cached(RESIGN)?.execute(parameters).map(drop)
        };
        Ok(self.database.write(resign).await?)
    }
}

#[async_trait]
impl Reconciliation for SqliteStore {
    async fn lead(&self, term: Duration) -> Result<bool, StoreError> {
        self.take_lead(RECONCILER, term).await
    }

    async fn resign(&self) -> Result<(), StoreError> {
        self.give_up_lead(RECONCILER).await
    }

    async fn lost_orders(&self, search: &LostOrderSearch) -> Result<Vec<LostOrder>, StoreError> {
        let (search, lease) = (*search, self.options.lease);
        let found = self.database.read(move |connection| lost_orders(connection, &search, lease)).await?;
        if self.database.read(|connection| any_ahead(connection, now_micros())).await? {
            let kept = FORGET_AFTER + 2 * (search.grace + lease);
            self.database.write(move |connection| note_all(connection, kept, now_micros())).await?;
        }
        self.forget_holds().await?;
        Ok(found)
    }

    async fn stale_orders(&self, max_age: Duration) -> Result<u64, StoreError> {
        let count = move |connection: &Connection| {
            let oldest = now_micros().saturating_sub(micros(max_age));
            let mut count = connection.prepare_cached(STALE_ORDERS)?;
            count.query_row(named_params! { ":oldest": oldest }, |row| row.get::<_, i64>(0))
        };
        Ok(self.database.read(count).await?.unsigned_abs())
    }

    async fn orders_before_horizon(&self) -> Result<OlderOrders, StoreError> {
        let count = move |connection: &Connection| {
            connection.prepare_cached(BEFORE_HORIZON)?.query_row([], |row| {
                let adopt_from = row.get::<_, Option<i64>>(1)?.and_then(instant);
                Ok(OlderOrders { orders: row.get::<_, i64>(0)?.unsigned_abs(), adopt_from })
            })
        };
        Ok(self.database.read(count).await?)
    }

    /// The index of what isn't fulfilled leads to open orders.
    async fn sweep(&self) -> Result<Option<Sweep>, StoreError> {
        Ok(None)
    }
}

fn lost_orders(connection: &Connection, search: &LostOrderSearch, lease: Duration) -> rusqlite::Result<Vec<LostOrder>> {
    let now = now_micros();
    let before = |age: Duration| now.saturating_sub(micros(age));
    let claimed = match search.claimed_up_to {
        ClaimedUpTo::Unknown => None,
        ClaimedUpTo::CreatedAt(created_at) => Some(created_at),
        ClaimedUpTo::Everything => Some(i64::MAX),
    };
    let claimed_before = |claimed: i64| claimed.saturating_sub(micros(search.grace));
    let mut select = connection.prepare_cached(LOST_ORDERS)?;
    let found = select.query_map(
        named_params! {
            ":created_before": claimed.map(|claimed| claimed_before(claimed.min(now))),
            ":ahead_before": claimed.map(claimed_before),
            ":now": now,
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
            Ok(LostOrder {
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
