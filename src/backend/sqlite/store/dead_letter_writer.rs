//! Stores dead letters.

use rusqlite::{CachedStatement, Connection, named_params};

use crate::WorkerId;
use crate::backend::sqlite::database::now_micros;
use crate::domain::label::Label;
use crate::domain::order::OrderId;
use crate::domain::text::truncate_detail;
use crate::port::store::DeadLetter;

/// Stores a dead letter. One with the same claim id stays as it is, unless it is resolved.
const INSERT: &str = "
INSERT INTO fulfillment_dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
VALUES (:claim_id, :order_id, :payload, :reason, :detail, :attempts, :worker, :at)
ON CONFLICT (claim_id) WHERE resolved_at IS NULL DO NOTHING";

pub(super) fn insert(connection: &Connection, worker: &WorkerId, letters: &[DeadLetter]) -> rusqlite::Result<()> {
    let mut writer = DeadLetterWriter::new(connection, worker)?;
    letters.iter().try_for_each(|letter| writer.insert(letter, letter.order_id))
}

/// Writes dead letters, in the transaction that gives their messages up.
pub(super) struct DeadLetterWriter<'c> {
    insert: CachedStatement<'c>,
    worker: &'c str,
    now: i64,
}

impl<'c> DeadLetterWriter<'c> {
    pub(super) fn new(connection: &'c Connection, worker: &'c WorkerId) -> rusqlite::Result<Self> {
        Ok(Self { insert: connection.prepare_cached(INSERT)?, worker: worker.as_str(), now: now_micros() })
    }

    /// Stores a letter under `order_id`.
    pub(super) fn insert(&mut self, letter: &DeadLetter, order_id: Option<OrderId>) -> rusqlite::Result<()> {
        self.insert.execute(named_params! {
            ":claim_id": letter.claim_id,
            ":order_id": order_id.map(|id| id.0),
            ":payload": letter.payload,
            ":reason": letter.reason.as_str(),
            ":detail": truncate_detail(&letter.detail),
            ":attempts": letter.attempts,
            ":worker": self.worker,
            ":at": self.now,
        })?;
        Ok(())
    }
}
