//! Transitions, each once its transaction has ended.

use std::time::SystemTime;

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::reports::timeline_entry;
use super::timestamp::{micros, timestamp};
use super::{PostgresStore, column};
use crate::domain::order::OrderId;
use crate::port::search::{Feed, Position, Transition};
use crate::port::store::StoreError;

/// A statement may have read the clock so long before it was numbered.
const SLACK_MICROS: i64 = 5_000_000;

/// A transaction that was under way at the first call is taken to have begun no longer ago.
const UNDER_WAY_MICROS: i64 = 60_000_000;

/// The longest transaction of which no entry is left out.
const LONGEST_MICROS: i64 = 600_000_000;

const NO_INDEX: &str = "fulfillment.events has no index on the time of its entries, which `migrate` leaves out where the \
    table is large; make it beside the workers: CREATE INDEX CONCURRENTLY events_at ON fulfillment.events USING brin (at) \
    WITH (pages_per_range = 32, autosummarize = on)";

#[async_trait]
impl Feed for PostgresStore {
    async fn next(&self, position: &mut Position, limit: usize) -> Result<Vec<Transition>, StoreError> {
        let statements = self.ready_statements().await?;
        let rows = self.query(&statements.snapshot, &[]).await?;
        let Some(row) = rows.first() else { return Ok(Vec::new()) };
        if !column::<bool>(row, "is_indexed")? {
            return Err(StoreError::Refused(NO_INDEX.to_owned()));
        }
        let (snapshot, oldest): (String, i64) = (column(row, "snapshot")?, column(row, "oldest")?);
        let (first, now): (i64, i64) = (column(row, "first")?, micros(column::<SystemTime>(row, "now")?));
        let mut next = position.clone();
        let Some(read) = next.read.clone() else {
            next.note_floor(i64::MIN, now - UNDER_WAY_MICROS);
            next.note_floor(first, now);
            next.read = Some(snapshot);
            *position = next;
            return Ok(Vec::new());
        };
        let reading = next.reading.get_or_insert(snapshot).clone();
        let read_oldest = read.split(':').next().and_then(|oldest| oldest.parse().ok()).unwrap_or(oldest);
        let floor = next.floor(read_oldest).max(now - LONGEST_MICROS) - SLACK_MICROS;
        let (at, order_id) = next.after.unwrap_or((floor, i64::MIN));
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self
            .look_up(
                &statements.feed,
                &[
                    (&read, Type::TEXT),
                    (&reading, Type::TEXT),
                    (&timestamp(floor), Type::TIMESTAMP),
                    (&timestamp(at), Type::TIMESTAMP),
                    (&order_id, Type::INT8),
                    (&most, Type::INT8),
                ],
            )
            .await?;
        let mut transitions = Vec::with_capacity(rows.len());
        for row in &rows {
            transitions.push(Transition { order_id: OrderId(column(row, "order_id")?), entry: timeline_entry(row)? });
        }
        match transitions.last() {
            Some(last) if transitions.len() >= limit => next.after = Some((last.entry.at.0, last.order_id.0)),
            _ => {
                (next.read, next.reading, next.after) = (Some(reading), None, None);
                next.note_floor(first, now);
            }
        }
        *position = next;
        Ok(transitions)
    }
}
