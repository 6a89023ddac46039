//! Browsing the queue. Nothing dangles here: a message, its lease and its retry are one row.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};

use super::SqliteQueue;
use crate::backend::sqlite::database::now_micros;
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{DanglingRecords, Page, Part, QueueMaintenance, RequeuedMessage};

/// Puts in a message of an order that has none, among the retries and due now, with the attempts it has spent. Adds no
/// row for a key that is in the queue already.
const REQUEUE_LOST: &str = "
INSERT OR IGNORE INTO fulfillment_queue (payload, pushed_at, attempts, due_at, adopted_as)
VALUES (:payload, :now, :attempts, :now, :key)";

/// Payloads of messages that are leased or wait for their retry, behind `:cursor`, in order of id, which a message
/// keeps; null for one that is too long to be a message.
const BROWSE_CLAIMED: &str = "
SELECT id, CASE WHEN length(payload) <= 65536 THEN payload END FROM fulfillment_queue
WHERE due_at IS NOT NULL AND id > :cursor ORDER BY id LIMIT 500";

/// The same of messages that no worker has claimed yet. New ones come behind all others.
const BROWSE_WAITING: &str = "
SELECT id, CASE WHEN length(payload) <= 65536 THEN payload END FROM fulfillment_queue
WHERE due_at IS NULL AND id > :cursor ORDER BY id LIMIT 500";

/// As in the statements.
const PAGE: usize = 500;

#[async_trait]
impl QueueMaintenance for SqliteQueue {
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError> {
        let statement = match part {
            Part::Waiting => BROWSE_WAITING,
            Part::Claimed => BROWSE_CLAIMED,
        };
        let cursor = i64::try_from(cursor).unwrap_or(i64::MAX);
        let browse = move |connection: &Connection| {
            let mut page = connection.prepare_cached(statement)?;
            let rows = page.query_map([cursor], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(i64, Option<Vec<u8>>)>>>()
        };
        let rows = self.database.read(browse).await?;
        let next = if rows.len() == PAGE { rows.last().map(|(id, _)| id.unsigned_abs()) } else { None };
        let oversized = rows.iter().filter(|(_, payload)| payload.is_none()).count() as u64;
        Ok(Page { payloads: rows.into_iter().filter_map(|(_, payload)| payload).collect(), oversized, next })
    }

    /// Waiting messages are browsed in this order anyway.
    async fn oldest(&self, cursor: u64) -> Result<Page, QueueError> {
        self.browse(Part::Waiting, cursor).await
    }

    async fn requeue_lost(&self, messages: &[RequeuedMessage]) -> Result<usize, QueueError> {
        let messages = messages.to_vec();
        let requeue = move |connection: &Connection| {
            let now = now_micros();
            let mut insert = connection.prepare_cached(REQUEUE_LOST)?;
            let put_in = |RequeuedMessage { key, payload, attempts }: &RequeuedMessage| {
                insert.execute(named_params! { ":payload": payload, ":now": now, ":attempts": attempts, ":key": key })
            };
            messages.iter().map(put_in).sum()
        };
        let new = self.database.write(requeue).await?;
        self.database.announce_push();
        Ok(new)
    }

    async fn dangling(&self) -> Result<DanglingRecords, QueueError> {
        Ok(DanglingRecords::default())
    }

    async fn repair(&self) -> Result<DanglingRecords, QueueError> {
        Ok(DanglingRecords::default())
    }

    fn repaired_by_claims(&self) -> DanglingRecords {
        DanglingRecords::default()
    }
}
