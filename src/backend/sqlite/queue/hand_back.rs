//! Makes claimed messages new again. Their place is that of their id, so they are older than what was pushed since.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{SqliteQueue, count, id_of};
use crate::backend::sqlite::database::now_micros;
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{ClaimedMessage, ClaimedPage, HandBack, HandedBack, LiveLeases};

/// Messages that are leased or wait for their retry, behind `:cursor`, in order of id, which a message keeps.
const CLAIMED: &str = "
SELECT id, pushed_at, attempts, token IS NOT NULL, due_at FROM fulfillment_queue
WHERE due_at IS NOT NULL AND id > :cursor ORDER BY id LIMIT 500";

/// As in the statement, and in one transaction at most.
const PAGE: usize = 500;

/// Whether a message is claimed, and under a lease that runs.
const LOOK: &str = "
SELECT token IS NOT NULL AND due_at > :now FROM fulfillment_queue
WHERE id = :id AND pushed_at = :pushed_at AND due_at IS NOT NULL";

/// Makes it new, under another claim id. What a reconciler put in is from now on a message as any other.
const MAKE_NEW: &str = "
UPDATE fulfillment_queue
SET token = NULL, due_at = NULL, attempts = 0, adopted_as = NULL, pushed_at = max(:now, pushed_at + 1) WHERE id = :id";

#[async_trait]
impl HandBack for SqliteQueue {
    async fn claimed(&self, cursor: u64) -> Result<ClaimedPage, QueueError> {
        let cursor = i64::try_from(cursor).unwrap_or(i64::MAX);
        let look = move |connection: &Connection| {
            let (now, mut page) = (now_micros(), connection.prepare_cached(CLAIMED)?);
            let rows = page.query_map([cursor], |row| {
                let (id, pushed_at): (i64, i64) = (row.get(0)?, row.get(1)?);
                let message = ClaimedMessage {
                    claim_id: format!("{id}-{pushed_at}"),
                    attempts: row.get(2)?,
                    leased: row.get(3)?,
                    due_in_ms: row.get::<_, i64>(4)?.saturating_sub(now) / 1_000,
                    oversized: false,
                };
                Ok((count(row, 0)?, message))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = self.database.read(look).await?;
        let next = if rows.len() == PAGE { rows.last().map(|(id, _)| *id) } else { None };
        Ok(ClaimedPage { messages: rows.into_iter().map(|(_, message)| message).collect(), next })
    }

    async fn hand_back(&self, claim_ids: &[String], live: LiveLeases) -> Result<HandedBack, QueueError> {
        let mut total = HandedBack::default();
        for batch in claim_ids.chunks(PAGE) {
            let batch = batch.to_vec();
            total += self.database.write(move |connection| hand_back(connection, &batch, live)).await?;
        }
        self.database.announce_push();
        Ok(total)
    }
}

fn hand_back(connection: &Connection, claim_ids: &[String], live: LiveLeases) -> rusqlite::Result<HandedBack> {
    let (now, mut total) = (now_micros(), HandedBack::default());
    let (mut look, mut make_new) = (connection.prepare_cached(LOOK)?, connection.prepare_cached(MAKE_NEW)?);
    for claim_id in claim_ids {
        let Some((id, pushed_at)) = id_of(claim_id) else { continue };
        let found = look.query_row(named_params! { ":now": now, ":id": id, ":pushed_at": pushed_at }, |row| row.get(0));
        match found.optional()? {
            Some(true) if live == LiveLeases::Leave => total.leased += 1,
            Some(_) => total.returned += make_new.execute(named_params! { ":now": now, ":id": id })? as u64,
            None => {}
        }
    }
    Ok(total)
}
