//! Who reconciles, what may be lost, what is open, and whether every row is accounted for.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::SqliteStore;
use crate::backend::sqlite::database::{elapsed, micros, now_micros};
use crate::domain::order::{Fence, OrderId, State};
use crate::port::reconciliation::{
    Audit, AuditPage, ClaimedUpTo, OPEN_ORDERS_LIMIT, OpenOrders, OpenState, Orphan, OrphanSearch, RECONCILER,
    attempts_spent,
};
use crate::port::store::StoreError;

const AUDIT: &str = include_str!("audit.sql");
const LEAD: &str = include_str!("lead.sql");
const LEFT_ALONE: &str = include_str!("left_alone.sql");
const OPEN_ORDERS: &str = include_str!("open_orders.sql");
const ORPHANS: &str = include_str!("orphans.sql");
const RESIGN: &str = include_str!("resign.sql");
const STATUS: &str = include_str!("status.sql");

/// Instructions of SQLite's virtual machine between two looks at the clock: some 10 µs.
const STEPS_PER_LOOK: i32 = 1_000;

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
        Ok(self.database.read(|connection| within(OPEN_ORDERS_LIMIT, connection, open_orders)).await?)
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

/// Runs a statement that only reads. After `limit` it is interrupted, which leaves the transaction as it was.
fn within<T>(
    limit: Duration,
    connection: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    /// Whoever comes next on this connection has no limit, also after a panic.
    struct Unlimited<'a>(&'a Connection);
    impl Drop for Unlimited<'_> {
        fn drop(&mut self) {
            // Fails for connections that are not ours alone, and so would have the line below.
            let _ = self.0.progress_handler(0, None::<fn() -> bool>);
        }
    }
    let began = Instant::now();
    connection.progress_handler(STEPS_PER_LOOK, Some(move || began.elapsed() > limit))?;
    let _unlimited = Unlimited(connection);
    read(connection)
}

fn open_orders(connection: &Connection) -> rusqlite::Result<OpenOrders> {
    let (now, began) = (now_micros(), Instant::now());
    let mut count = connection.prepare_cached(OPEN_ORDERS)?;
    let mut rows = count.query([])?;
    let mut open = OpenOrders::default();
    while let Some(row) = rows.next()? {
        let (status, orders, oldest): (String, i64, Option<i64>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let oldest = oldest.map(|created_at| elapsed(created_at, now));
        open.set(&State::from(status.as_str()), OpenState { orders: orders.unsigned_abs(), oldest });
    }
    open.took = began.elapsed();
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

#[cfg(test)]
mod tests {
    use rusqlite::ErrorCode;

    use super::*;

    /// Caught, when seeded: a statement without a limit, and a limit that stays for the next one.
    #[test]
    fn a_statement_that_takes_too_long_is_broken_off_and_its_transaction_and_the_next_statement_are_not() {
        let connection = Connection::open_in_memory().unwrap();
        let limit = Duration::from_millis(20);
        let count_to = |number: u32| {
            let sql = format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {number})
                               SELECT count(*) FROM n"
            );
            move |connection: &Connection| connection.query_row(&sql, [], |row| row.get::<_, i64>(0))
        };
        connection.execute_batch("CREATE TABLE t (i); BEGIN; SAVEPOINT job; INSERT INTO t VALUES (1)").unwrap();
        assert_eq!(within(limit, &connection, count_to(10)).unwrap(), 10);
        let error = within(limit, &connection, count_to(50_000_000)).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
        let began = Instant::now();
        let mut numbers = 100_000;
        while began.elapsed() <= 2 * limit {
            assert_eq!(count_to(numbers)(&connection).unwrap(), i64::from(numbers));
            numbers *= 2;
        }
        connection.execute_batch("RELEASE job; COMMIT").unwrap();
        assert_eq!(connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    }
}
