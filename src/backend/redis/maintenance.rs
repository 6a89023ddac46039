//! Browses and repairs the queue, in steps that block Redis no longer than a claim does.

use async_trait::async_trait;

use super::connection::ScriptCall;
use super::{LARGEST_BATCH, RedisQueue, reply};
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{DanglingRecords, Page, Part, QueueMaintenance, RequeuedMessage};

impl RedisQueue {
    /// A page of what waits in the list, from its left or its right end.
    async fn look_at_list(&self, cursor: u64, from_right: bool) -> Result<Page, QueueError> {
        let mut call = ScriptCall::new(&self.scripts.browse_list, &[self.keys.list.as_str()]);
        reply::browsed(self.run(call.arg(cursor).arg(u8::from(from_right))).await?)
    }

    /// Goes through hash, leases and retries.
    async fn look_through(&self, repair: bool) -> Result<DanglingRecords, QueueError> {
        // Without a lease the script only counts.
        let lease_ms = if repair { self.lease_ms } else { 0 };
        let messages = self.every_page(&self.scripts.recover, &self.keys.records(), lease_ms).await?;
        let mut schedules = 0;
        for schedule in [&self.keys.leases, &self.keys.retries] {
            let keys = [self.keys.inflight.as_str(), schedule];
            schedules += self.every_page(&self.scripts.prune, &keys, u8::from(repair)).await?;
        }
        Ok(DanglingRecords { messages, schedules })
    }
}

#[async_trait]
impl QueueMaintenance for RedisQueue {
    /// The list is read from the left: what producers push moves the others on, where they are seen again, and what
    /// workers claim leaves at the other end.
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError> {
        match part {
            Part::Waiting => self.look_at_list(cursor, false).await,
            Part::Claimed => {
                let mut call = ScriptCall::new(&self.scripts.browse, &[self.keys.inflight.as_str()]);
                reply::browsed(self.run(call.arg(cursor)).await?)
            }
        }
    }

    async fn oldest(&self, cursor: u64) -> Result<Page, QueueError> {
        self.look_at_list(cursor, true).await
    }

    async fn requeue_lost(&self, messages: &[RequeuedMessage]) -> Result<usize, QueueError> {
        let mut new = 0;
        for batch in messages.chunks(LARGEST_BATCH) {
            let mut call = ScriptCall::new(&self.scripts.requeue_lost, &self.keys.records());
            for RequeuedMessage { key, payload, attempts } in batch {
                call.arg(key).arg(*attempts).arg(payload);
            }
            new += reply::read::<usize>(self.run(&call).await?, "a script")?;
        }
        Ok(new)
    }

    async fn dangling(&self) -> Result<DanglingRecords, QueueError> {
        self.look_through(false).await
    }

    async fn repair(&self) -> Result<DanglingRecords, QueueError> {
        self.look_through(true).await
    }

    fn repaired_by_claims(&self) -> DanglingRecords {
        std::mem::take(&mut *self.repaired_by_claims.lock())
    }
}
