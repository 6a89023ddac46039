//! Browses and repairs the queue, in steps that block Redis no longer than a claim does.

use async_trait::async_trait;

use super::connection::ScriptCall;
use super::{LARGEST_BATCH, RedisQueue, reply};
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{DanglingRecords, Page, Part, QueueMaintenance, RequeuedMessage};

/// Messages of the list in one page.
const PAGE: u64 = 500;

impl RedisQueue {
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
            Part::Waiting => {
                let mut command = ::redis::cmd("LRANGE");
                command.arg(&self.keys.list).arg(cursor).arg(cursor + PAGE - 1);
                let payloads = reply::payloads(self.query(&command).await?)?;
                let next = (payloads.len() as u64 == PAGE).then_some(cursor + PAGE);
                Ok(Page { payloads, next })
            }
            Part::Claimed => {
                let answer =
                    self.run(ScriptCall::new(&self.scripts.browse, &[&self.keys.inflight]).arg(cursor)).await?;
                let (next, payloads) = reply::browsed(answer)?;
                Ok(Page { payloads, next: (next != 0).then_some(next) })
            }
        }
    }

    async fn oldest(&self, cursor: u64) -> Result<Page, QueueError> {
        let behind = |position: u64| i64::try_from(position).map_or(i64::MIN, |position| -position);
        let mut command = ::redis::cmd("LRANGE");
        command.arg(&self.keys.list).arg(behind(cursor + PAGE)).arg(behind(cursor + 1));
        let mut payloads = reply::payloads(self.query(&command).await?)?;
        payloads.reverse();
        let next = (payloads.len() as u64 == PAGE).then_some(cursor + PAGE);
        Ok(Page { payloads, next })
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
