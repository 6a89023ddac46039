//! Finds orders by what is known of them.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::SqliteStore;
use super::reports::within;
use crate::backend::sqlite::database::{age, micros, now_micros};
use crate::domain::order::{OrderId, State};
use crate::domain::text::truncate_detail;
use crate::port::reports::OrderReport;
use crate::port::search::{Between, Looked, MOST_BY_STATE, Notes, OrderFilter, OrderSearch, SEARCH_LIMIT, Source};
use crate::port::store::StoreError;

/// Orders out of order by less are not left out.
const DISORDER_MICROS: i64 = 600_000_000;

/// Candidates; what they are among is written in the place of the piece.
const CANDIDATES: &str = "
SELECT id, coalesce(status, 'null'), product_id, (SELECT name FROM products WHERE products.id = product_id), quantity,
       created_at, updated_at
FROM orders
WHERE id < :below AND id > :above AND {among} LIMIT :most";

const NEWEST: &str = "true ORDER BY id DESC";

/// The condition on 'fulfilled' lets the index of orders that are not be used.
const BY_STATE: &str = "status IS NOT 'fulfilled' AND status IN (SELECT value FROM json_each(:states))
    ORDER BY id DESC";

const BY_ID: &str = "id IN (SELECT value FROM json_each(:ids)) ORDER BY id DESC";

/// The first order from an id on that has a `created_at`, of a hundred.
const NEAR: &str = "
SELECT id, created_at FROM (SELECT id, created_at FROM orders WHERE id >= ?1 ORDER BY id LIMIT 100)
WHERE created_at IS NOT NULL ORDER BY id LIMIT 1";

#[async_trait]
impl OrderSearch for SqliteStore {
    async fn bounds(&self, filter: &OrderFilter) -> Result<Between, StoreError> {
        let now = now_micros();
        let (newer, older) = (filter.newer_than.map(micros), filter.older_than.map(micros));
        let bounds = move |connection: &Connection| {
            let mut between = Between::ALL;
            if let Some(age) = newer {
                between.above = halve(connection, now.saturating_sub(age).saturating_sub(DISORDER_MICROS))?.0;
            }
            if let Some(age) = older {
                between.below = halve(connection, now.saturating_sub(age).saturating_add(DISORDER_MICROS))?.1;
            }
            Ok(between)
        };
        Ok(self.database().read(bounds).await?)
    }

    async fn leads_to(&self, states: &[State]) -> Result<bool, StoreError> {
        let is_indexed = |state: &State| *state != State::Fulfilled && *state != State::from("null");
        Ok(!states.is_empty() && states.iter().all(is_indexed))
    }

    async fn look(
        &self,
        filter: &OrderFilter,
        source: &Source,
        between: Between,
        limit: usize,
    ) -> Result<Looked, StoreError> {
        let (filter, source) = (filter.clone(), source.clone());
        let look = move |connection: &Connection| {
            within(SEARCH_LIMIT, connection, |connection| look(connection, &filter, &source, between, limit))
        };
        Ok(self.database().read(look).await?)
    }
}

/// One writer at a time: no attempt begins meanwhile.
const NOTE: &str = "
INSERT OR IGNORE INTO fulfillment_events (order_id, at, state, attempt, worker, note)
SELECT id, ?2, 'pending', 0, ?3, ?4 FROM orders WHERE id = ?1 AND status = 'pending'";

#[async_trait]
impl Notes for SqliteStore {
    async fn note_pending(&self, order_ids: &[OrderId], note: &str) -> Result<(), StoreError> {
        if !self.options.events {
            return Ok(());
        }
        let (ids, worker, note) = (order_ids.to_vec(), self.options.worker.to_string(), truncate_detail(note));
        let write = move |connection: &Connection| {
            let mut insert = connection.prepare_cached(NOTE)?;
            ids.iter().try_for_each(|id| insert.execute((id.0, now_micros(), &worker, &note)).map(drop))
        };
        Ok(self.database().write(write).await?)
    }
}

/// The greatest id known to be of an order created before `at`, and the id from which on none is, as far as ids grow with time.
fn halve(connection: &Connection, at: i64) -> rusqlite::Result<(i64, i64)> {
    let mut near = connection.prepare_cached(NEAR)?;
    let (mut earlier, mut later) = (i64::MIN, i64::MAX);
    while earlier < later - 1 {
        let middle = earlier.midpoint(later);
        let found = near.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((id, created_at)) if created_at < at => earlier = id,
            Some::<(i64, i64)>(_) | None => later = middle,
        }
    }
    Ok((earlier, later))
}

fn look(
    connection: &Connection,
    filter: &OrderFilter,
    source: &Source,
    between: Between,
    limit: usize,
) -> rusqlite::Result<Looked> {
    let now = now_micros();
    let json = |ids: &[OrderId]| serde_json::to_string(&ids.iter().map(|id| id.0).collect::<Vec<_>>());
    let states: Vec<&str> = filter.states.iter().map(State::as_str).collect();
    // Numbers and texts: there is nothing that JSON can't say.
    let states = serde_json::to_string(&states).unwrap_or_default();
    let as_limit = |limit: usize| i64::try_from(limit).unwrap_or(i64::MAX);
    let (among, most, ids) = match source {
        Source::Newest(most) => (NEWEST, as_limit(*most), String::new()),
        Source::States => (BY_STATE, as_limit(MOST_BY_STATE + 1), String::new()),
        Source::Ids(ids) => (BY_ID, as_limit(ids.len()), json(ids).unwrap_or_default()),
    };
    let mut candidates = connection.prepare_cached(&CANDIDATES.replace("{among}", among))?;
    let (below, above) = (between.below, between.above);
    let common = named_params! { ":below": below, ":above": above, ":most": most };
    let mut parameters = common.to_vec();
    match source {
        Source::Newest(_) => {}
        Source::States => parameters.push((":states", &states)),
        Source::Ids(_) => parameters.push((":ids", &ids)),
    }
    let mut rows = candidates.query(&*parameters)?;
    let mut looked = Looked::default();
    while let Some(row) = rows.next()? {
        let order = report(row, now)?;
        (looked.looked, looked.lowest) = (looked.looked + 1, Some(order.id));
        if looked.orders.len() < limit && matches(filter, &order, now) {
            looked.orders.push(order);
        }
    }
    Ok(looked)
}

fn matches(filter: &OrderFilter, order: &OrderReport, now: i64) -> bool {
    let ago = order.created_at_micros.map(|created_at| now.saturating_sub(created_at));
    (filter.states.is_empty() || filter.states.contains(&order.state))
        && filter.product_id.is_none_or(|product_id| order.product_id == product_id)
        && filter.older_than.is_none_or(|age| ago.is_some_and(|ago| ago > micros(age)))
        && filter.newer_than.is_none_or(|age| ago.is_some_and(|ago| ago <= micros(age)))
}

fn report(row: &Row<'_>, now: i64) -> rusqlite::Result<OrderReport> {
    let ago = |at: Option<i64>| at.and_then(|at| age(at, now));
    let (status, created_at, updated_at): (String, _, _) = (row.get(1)?, row.get(5)?, row.get(6)?);
    Ok(OrderReport {
        id: OrderId(row.get(0)?),
        state: State::from(status.as_str()),
        product_id: row.get(2)?,
        product: row.get(3)?,
        quantity: row.get(4)?,
        created_at_micros: created_at,
        age: ago(created_at),
        updated_at_micros: updated_at,
        idle: ago(updated_at),
    })
}
