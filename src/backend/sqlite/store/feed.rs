//! Transitions as they happen. One process writes at a time, and reads the clock when it does: so they are committed in order
//! of time, and none appears behind one that was read.

use async_trait::async_trait;
use rusqlite::Connection;

use super::SqliteStore;
use super::reports::{timeline_entry, within};
use crate::backend::sqlite::database::now_micros;
use crate::domain::order::OrderId;
use crate::port::search::{Feed, Position, SEARCH_LIMIT, Transition};
use crate::port::store::StoreError;

/// The entries after order ?2 at ?1, with what the store keeps once for each attempt.
const FEED: &str = "
SELECT e.at, e.state, e.attempt, coalesce(b.worker, e.worker),
       CASE WHEN e.worker = '' THEN b.correlation_id ELSE e.correlation_id END, e.note, e.order_id
FROM fulfillment_events AS e
LEFT JOIN fulfillment_events AS b ON e.worker = '' AND b.order_id = e.order_id AND b.at = (
    SELECT max(begun.at) FROM fulfillment_events AS begun
    WHERE begun.order_id = e.order_id AND begun.at < e.at AND begun.worker <> ''
)
WHERE (e.at, e.order_id) > (?1, ?2)
ORDER BY e.at, e.order_id LIMIT ?3";

#[async_trait]
impl Feed for SqliteStore {
    async fn next(&self, position: &mut Position, limit: usize) -> Result<Vec<Transition>, StoreError> {
        let Some((at, order_id)) = position.after else {
            let newest = |connection: &Connection| {
                connection.query_row("SELECT max(at) FROM fulfillment_events", [], |row| row.get::<_, Option<i64>>(0))
            };
            let newest = self.database().read(newest).await?;
            position.after = Some((newest.unwrap_or(i64::MIN).min(now_micros()), i64::MAX));
            return Ok(Vec::new());
        };
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            within(SEARCH_LIMIT, connection, |connection| {
                let mut feed = connection.prepare_cached(FEED)?;
                let transitions = feed.query_map((at, order_id, most), |row| {
                    Ok(Transition { order_id: OrderId(row.get(6)?), entry: timeline_entry(row)? })
                })?;
                transitions.collect::<rusqlite::Result<Vec<_>>>()
            })
        };
        let transitions = self.database().read(read).await?;
        if let Some(last) = transitions.last() {
            position.after = Some((last.entry.at.0, last.order_id.0));
        }
        Ok(transitions)
    }
}
