//! What people and metrics ask: counts, ages, orders and timelines.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::SqliteStore;
use crate::backend::sqlite::database::{age, now_micros};
use crate::domain::dead_letter::StoredReason;
use crate::domain::order::{Fence, OrderId, State};
use crate::port::reports::{
    ClockDoubt, ConnectionUse, Correlated, OPEN_ORDERS_LIMIT, OpenDeadLetters, OpenOrders, OpenState, OrderReport,
    Reports, Summary, TimelineEntry, add_orders,
};
use crate::port::store::StoreError;

const COUNT_BY_STATUS: &str = include_str!("count_by_status.sql");
const OLDEST: &str = include_str!("oldest.sql");
const OPEN_ORDERS: &str = include_str!("open_orders.sql");
/// Dead letters without a decision, by the index on them.
const OPEN_DEAD_LETTERS: &str =
    "SELECT reason, count(*) FROM fulfillment_dead_letters WHERE resolved_at IS NULL GROUP BY reason";
/// Number of orders that are held at `:now`.
const HELD: &str = "SELECT count(*) FROM fulfillment_holds WHERE until IS NULL OR until > :now";
const ORDER: &str = include_str!("order.sql");

/// An order's transitions, oldest first.
const TIMELINE: &str = "
SELECT at, state, attempt, worker, correlation_id, note FROM fulfillment_events WHERE order_id = ?1 ORDER BY at";

/// The newest orders of which a transition has the correlation id, or the 256 characters that are kept of it.
const CORRELATED: &str = "
SELECT DISTINCT order_id FROM fulfillment_events
WHERE correlation_id IN (:correlation_id, substr(:correlation_id, 1, 256)) AND order_id < :below
ORDER BY order_id DESC LIMIT :limit";

/// Instructions of SQLite's virtual machine between two looks at the clock: some 10 µs.
const STEPS_PER_LOOK: i32 = 1_000;

#[async_trait]
impl Reports for SqliteStore {
    async fn summary(&self) -> Result<Summary, StoreError> {
        Ok(self.database.read(summary).await?)
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderReport>, StoreError> {
        Ok(self.database.read(move |connection| order(connection, order_id)).await?)
    }

    async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, StoreError> {
        Ok(self.database.read(move |connection| timeline(connection, order_id)).await?)
    }

    async fn correlated(&self, correlation_id: &str, below: OrderId, limit: usize) -> Result<Correlated, StoreError> {
        let id = correlation_id.to_owned();
        Ok(self.database.read(move |connection| correlated(connection, &id, below, limit)).await?)
    }

    async fn open_orders(&self) -> Result<OpenOrders, StoreError> {
        Ok(self.database.read(|connection| within(OPEN_ORDERS_LIMIT, connection, open_orders)).await?)
    }

    async fn open_dead_letters(&self) -> Result<OpenDeadLetters, StoreError> {
        Ok(self.database.read(|connection| within(OPEN_ORDERS_LIMIT, connection, open_dead_letters)).await?)
    }

    fn connections(&self) -> ConnectionUse {
        ConnectionUse::default()
    }
}

fn summary(connection: &Connection) -> rusqlite::Result<Summary> {
    let now = now_micros();
    let held = connection.prepare_cached(HELD)?.query_row(named_params! { ":now": now }, |row| row.get::<_, i64>(0))?;
    let mut summary = Summary { held: held.unsigned_abs(), ..Summary::empty() };
    let mut count = connection.prepare_cached(COUNT_BY_STATUS)?;
    let mut rows = count.query([])?;
    while let Some(row) = rows.next()? {
        let orders = row.get::<_, i64>(1)?.unsigned_abs();
        add_orders(&mut summary.orders_by_state, &row.get::<_, String>(0)?, orders);
    }
    connection.prepare_cached(OLDEST)?.query_row([], |row| {
        let age = |created_at: Option<i64>| created_at.and_then(|created_at| age(created_at, now));
        summary.oldest_pending = age(row.get(0)?);
        summary.oldest_processing = age(row.get(1)?);
        Ok(summary)
    })
}

fn order(connection: &Connection, order_id: OrderId) -> rusqlite::Result<Option<OrderReport>> {
    let now = now_micros();
    let ago = |at: Option<i64>| at.and_then(|at| age(at, now));
    let mut find = connection.prepare_cached(ORDER)?;
    let report = find.query_row([order_id.0], |row| {
        let (status, created_at, updated_at): (String, _, _) = (row.get(0)?, row.get(4)?, row.get(5)?);
        Ok(OrderReport {
            id: order_id,
            state: State::from(status.as_str()),
            product_id: row.get(1)?,
            product: row.get(2)?,
            quantity: row.get(3)?,
            created_at_micros: created_at,
            age: ago(created_at),
            updated_at_micros: updated_at,
            idle: ago(updated_at),
        })
    });
    report.optional()
}

fn timeline(connection: &Connection, order_id: OrderId) -> rusqlite::Result<Vec<TimelineEntry>> {
    let mut entries = connection.prepare_cached(TIMELINE)?;
    let mut entries = entries.query_map([order_id.0], timeline_entry)?.collect::<rusqlite::Result<Vec<_>>>()?;
    TimelineEntry::fill_in(&mut entries);
    Ok(entries)
}

fn correlated(
    connection: &Connection,
    correlation_id: &str,
    below: OrderId,
    limit: usize,
) -> rusqlite::Result<Correlated> {
    let mut page = connection.prepare_cached(CORRELATED)?;
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let parameters = named_params! { ":correlation_id": correlation_id, ":below": below.0, ":limit": most };
    let found = page.query_map(parameters, |row| row.get(0).map(OrderId))?;
    let order_ids = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let next = order_ids.last().copied().filter(|_| order_ids.len() >= limit);
    Ok(Correlated { order_ids, next })
}

pub(super) fn timeline_entry(row: &Row<'_>) -> rusqlite::Result<TimelineEntry> {
    let state: String = row.get(1)?;
    Ok(TimelineEntry {
        at: Fence(row.get(0)?),
        state: State::from(state.as_str()),
        attempt: row.get(2)?,
        worker: row.get(3)?,
        correlation_id: row.get(4)?,
        note: row.get(5)?,
    })
}

/// Runs a statement that only reads. After `limit` it is interrupted, which leaves the transaction as it was.
pub(super) fn within<T>(
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
    let mut rows = count.query(named_params! { ":now": now })?;
    let held = connection.prepare_cached(HELD)?.query_row(named_params! { ":now": now }, |row| row.get::<_, i64>(0))?;
    let mut open = OpenOrders { held: held.unsigned_abs(), ..OpenOrders::default() };
    while let Some(row) = rows.next()? {
        let (status, orders, oldest): (String, i64, Option<i64>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let age_of_oldest = oldest.and_then(|created_at| age(created_at, now));
        if oldest.is_some() && age_of_oldest.is_none() {
            open.doubt = Some(ClockDoubt::Ambiguous);
        }
        let oldest = age_of_oldest;
        open.set(&State::from(status.as_str()), OpenState { orders: orders.unsigned_abs(), oldest });
    }
    open.took = began.elapsed();
    Ok(open)
}

fn open_dead_letters(connection: &Connection) -> rusqlite::Result<OpenDeadLetters> {
    let began = Instant::now();
    let mut count = connection.prepare_cached(OPEN_DEAD_LETTERS)?;
    let mut rows = count.query([])?;
    let mut open = OpenDeadLetters::default();
    while let Some(row) = rows.next()? {
        let (reason, letters): (String, i64) = (row.get(0)?, row.get(1)?);
        open.by_reason[StoredReason::of(&reason)] += letters.unsigned_abs();
    }
    open.took = began.elapsed();
    Ok(open)
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
