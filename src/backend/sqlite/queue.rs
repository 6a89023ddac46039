//! The embedded queue: a table in the file of [`crate::backend::sqlite::database`].
//!
//! A claim, its lease and the count of its attempts are one committed transaction, so a process that dies leaves
//! nothing but a lease that runs out. Times are this machine's clock, read once per call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, named_params};

use crate::backend::sqlite::database::{Database, DatabaseError, elapsed, micros, now_micros};
use crate::domain::message::{HASHED_BYTES, MAX_MESSAGE_BYTES, Oversized};
use crate::domain::worker_id::WorkerId;
use crate::port::queue::{
    Claim, Claimed, Depth, Disposition, Producer, Queue, QueueError, QueueReports, Receipt, ReceiptState, Settlement,
};

mod hand_back;
mod maintenance;

const CLAIM: &str = include_str!("queue/claim.sql");
const DEPTH: &str = include_str!("queue/depth.sql");
const NEXT_DUE: &str = include_str!("queue/next_due.sql");

/// Takes a message that [`CLAIM`] found in the same transaction, and counts the attempt. It replaces a token that
/// another worker holds, which makes that receipt stale.
const LEASE: &str =
    "UPDATE fulfillment_queue SET token = :token, due_at = :due_at, attempts = attempts + 1 WHERE id = :id";

/// Puts a new message in, behind all that are there.
const PUSH: &str = "INSERT INTO fulfillment_queue (payload, pushed_at) VALUES (:payload, :pushed_at)";

/// Extends a lease. Changes no row unless the receipt holds the message.
const RENEW: &str = "UPDATE fulfillment_queue SET due_at = :due_at WHERE id = :id AND token = :token";

/// Removes a message. Changes no row unless the receipt holds it.
const ACK: &str = "DELETE FROM fulfillment_queue WHERE id = :id AND token = :token";

/// Gives a message back until `:due_at`. Changes no row unless the receipt holds it. `:taken_back` is 1 if the attempt
/// that the claim counted is not to count.
const RETRY: &str = "
UPDATE fulfillment_queue SET token = NULL, due_at = :due_at, attempts = max(attempts - :taken_back, 0)
WHERE id = :id AND token = :token";

/// Messages that one claim takes at most.
const MAX_CLAIM: i64 = 1_000;

/// How long a push of another process may go unnoticed.
const OTHER_PROCESSES: Duration = Duration::from_millis(250);

/// How a [`SqliteQueue`] behaves.
#[derive(Debug, Clone)]
pub struct SqliteQueueOptions {
    /// How long a claimed message is ours without a renewal.
    pub lease: Duration,
    /// Who claims.
    pub worker: WorkerId,
}

/// A queue in an embedded database.
#[derive(Debug)]
pub struct SqliteQueue {
    database: Database,
    options: SqliteQueueOptions,
    /// Counts the claims of this worker; with its identity, which is fresh with every start, it makes tokens.
    claims: AtomicU64,
    /// The announcements known when the last claim began, or the last wait ended.
    pushes_seen: AtomicU64,
}

impl SqliteQueue {
    /// Uses the queue in `database`.
    pub fn new(database: Database, options: SqliteQueueOptions) -> Self {
        Self { database, options, claims: AtomicU64::new(0), pushes_seen: AtomicU64::new(0) }
    }

    /// The file.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError> {
        self.pushes_seen.store(*self.database.pushes().borrow(), Ordering::Relaxed);
        let limit = i64::try_from(limit).unwrap_or(MAX_CLAIM).clamp(1, MAX_CLAIM);
        let counter = self.claims.fetch_add(1, Ordering::Relaxed);
        let token = format!("{}-{counter}", self.options.worker);
        let lease = self.options.lease;
        Ok(self.database.write(move |connection| claim(connection, limit, &token, lease)).await?)
    }

    async fn wait(&self, at_most: Duration) {
        let mut pushes = self.database.pushes();
        let seen = self.pushes_seen.load(Ordering::Relaxed);
        let news = pushes.wait_for(|count| *count != seen);
        if let Ok(Ok(count)) = tokio::time::timeout(at_most.min(OTHER_PROCESSES), news).await {
            self.pushes_seen.store(*count, Ordering::Relaxed);
        }
    }

    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<ReceiptState>, QueueError> {
        let (receipts, lease) = (receipts.to_vec(), self.options.lease);
        let renew = move |connection: &Connection| {
            let due_at = now_micros().saturating_add(micros(lease));
            let mut renew = connection.prepare_cached(RENEW)?;
            let renew = |receipt: &Receipt| {
                let (id, token) = (message_id(receipt), &receipt.token);
                renew.execute(named_params! { ":id": id, ":token": token, ":due_at": due_at }).map(receipt_state)
            };
            receipts.iter().map(renew).collect()
        };
        Ok(self.database.write(renew).await?)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<ReceiptState>, QueueError> {
        let claimable_at_once = settlements
            .iter()
            .any(|one| matches!(one.disposition, Disposition::Retry { after, .. } if after.is_zero()));
        let settlements = settlements.to_vec();
        let verdicts = self.database.write(move |connection| settle(connection, &settlements)).await?;
        if claimable_at_once {
            self.database.announce_push();
        }
        Ok(verdicts)
    }

    /// Has nothing to do: no answer is lost between this process and its database.
    async fn release_unanswered(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

#[async_trait]
impl Producer for SqliteQueue {
    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError> {
        let payloads = payloads.to_vec();
        let push = move |connection: &Connection| {
            let now = now_micros();
            let mut push = connection.prepare_cached(PUSH)?;
            payloads.iter().try_for_each(|payload| {
                push.execute(named_params! { ":payload": payload, ":pushed_at": now }).map(drop)
            })
        };
        self.database.write(push).await?;
        self.database.announce_push();
        Ok(())
    }
}

#[async_trait]
impl QueueReports for SqliteQueue {
    async fn depth(&self) -> Result<Depth, QueueError> {
        let depth = |connection: &Connection| {
            connection.prepare_cached(DEPTH)?.query_row([now_micros()], |row| {
                let [waiting, in_flight, due, retrying] =
                    [count(row, 0)?, count(row, 1)?, count(row, 2)?, count(row, 3)?];
                Ok(Depth { waiting, in_flight, due, retrying })
            })
        };
        Ok(self.database.read(depth).await?)
    }

    async fn configuration_warning(&self) -> Result<Option<String>, QueueError> {
        Ok(None)
    }
}

/// A message as [`CLAIM`] finds it.
struct Found {
    id: i64,
    pushed_at: i64,
    attempts: u32,
    bytes: u64,
    /// `None` if it is longer than a message may be.
    payload: Option<Vec<u8>>,
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let bytes = count(row, 3)?;
        Ok(Self { id: row.get(0)?, pushed_at: row.get(1)?, attempts: row.get(2)?, bytes, payload: row.get(4)? })
    }

    /// The time of the push tells messages of different files apart, as each counts from 1: the dead letters of
    /// several files may meet in one store.
    fn into_claim(self, connection: &Connection, token: &str) -> rusqlite::Result<Claim> {
        let (payload, oversized) = match self.payload {
            Some(payload) => (payload, None),
            None => {
                beginning(connection, self.id, self.bytes).map(|(payload, oversized)| (payload, Some(oversized)))?
            }
        };
        Ok(Claim {
            receipt: Receipt { claim_id: format!("{}-{}", self.id, self.pushed_at), token: token.to_owned() },
            payload,
            oversized,
            attempt: self.attempts.saturating_add(1),
        })
    }
}

fn claim(connection: &Connection, limit: i64, token: &str, lease: Duration) -> rusqlite::Result<Claimed> {
    let now = now_micros();
    let due_at = now.saturating_add(micros(lease));
    let mut find = connection.prepare_cached(CLAIM)?;
    let mut take = connection.prepare_cached(LEASE)?;
    let found = find.query_map(named_params! { ":now": now, ":limit": limit }, Found::read)?;
    // All are read before the first is taken, as a statement must not see what it is walking over change.
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    for message in &found {
        take.execute(named_params! { ":id": message.id, ":token": token, ":due_at": due_at })?;
    }
    let claims = found.into_iter().map(|message| message.into_claim(connection, token)).collect::<Result<_, _>>()?;
    let next_due: Option<i64> = connection.prepare_cached(NEXT_DUE)?.query_row([], |row| row.get(0))?;
    Ok(Claimed { claims, next_due: next_due.map(|due_at| elapsed(now, due_at)) })
}

/// The beginning of a message that is too long.
fn beginning(connection: &Connection, id: i64, bytes: u64) -> rusqlite::Result<(Vec<u8>, Oversized)> {
    let blob = connection.blob_open(c"main", c"fulfillment_queue", c"payload", id, true)?;
    let mut first = vec![0; blob.len().min(HASHED_BYTES)];
    blob.read_at_exact(&mut first, 0)?;
    let oversized = Oversized::of(&first, bytes);
    first.truncate(MAX_MESSAGE_BYTES);
    first.shrink_to_fit();
    Ok((first, oversized))
}

fn settle(connection: &Connection, settlements: &[Settlement]) -> rusqlite::Result<Vec<ReceiptState>> {
    let now = now_micros();
    let mut ack = connection.prepare_cached(ACK)?;
    let mut retry = connection.prepare_cached(RETRY)?;
    settlements
        .iter()
        .map(|Settlement { receipt, disposition }| {
            let id = message_id(receipt);
            let changed = match disposition {
                Disposition::Ack => ack.execute(named_params! { ":id": id, ":token": receipt.token })?,
                Disposition::Retry { after, spent } => retry.execute(named_params! {
                    ":id": id,
                    ":token": receipt.token,
                    ":due_at": now.saturating_add(micros(*after)),
                    ":taken_back": i64::from(!spent),
                })?,
            };
            Ok(receipt_state(changed))
        })
        .collect()
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count: i64 = row.get(column)?;
    Ok(count.unsigned_abs())
}

/// The key in a receipt's `claim_id`. One that this queue never gave out matches no row, and is lost.
fn message_id(receipt: &Receipt) -> Option<i64> {
    id_of(&receipt.claim_id).map(|(id, _)| id)
}

/// The key and the time of the push, of which a claim id consists.
fn id_of(claim_id: &str) -> Option<(i64, i64)> {
    let (id, pushed_at) = claim_id.split_once('-')?;
    Some((id.parse().ok()?, pushed_at.parse().ok()?))
}

fn receipt_state(changed: usize) -> ReceiptState {
    if changed == 0 { ReceiptState::Stale } else { ReceiptState::Valid }
}

impl From<DatabaseError> for QueueError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(problem) => Self::Unavailable(problem),
            DatabaseError::Refused(problem) => Self::Refused(problem),
            missing @ DatabaseError::Missing(_) => Self::Refused(missing.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
