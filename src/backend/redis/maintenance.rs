//! Browses and repairs the queue, in steps that block Redis no longer than a claim does.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::{LARGEST_BATCH, RedisQueue, evalsha, reply};
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{DanglingRecords, Page, Part, QueueMaintenance, RequeuedMessage};

/// Messages of the list in one page.
const PAGE: u64 = 500;

/// DanglingRecords that claims came across since anybody asked.
#[derive(Default)]
pub(super) struct RepairedByClaims {
    messages: AtomicU64,
    schedules: AtomicU64,
}

impl RepairedByClaims {
    pub(super) fn add_messages(&self, count: u64) {
        self.messages.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_schedules(&self, count: u64) {
        self.schedules.fetch_add(count, Ordering::Relaxed);
    }

    fn take(&self) -> DanglingRecords {
        DanglingRecords {
            messages: self.messages.swap(0, Ordering::Relaxed),
            schedules: self.schedules.swap(0, Ordering::Relaxed),
        }
    }
}

impl RedisQueue {
    /// Runs `recover.lua` once; without a lease it only counts.
    pub(super) async fn recover_page(&self, cursor: u64, lease_ms: u64) -> Result<(u64, u64), QueueError> {
        let mut command = evalsha(&self.scripts.recover, &[&self.keys.inflight, &self.keys.leases, &self.keys.retries]);
        command.arg(cursor).arg(lease_ms);
        reply::page(self.run(&self.scripts.recover, &command).await?)
    }

    async fn prune_page(&self, schedule: &String, cursor: u64, remove: bool) -> Result<(u64, u64), QueueError> {
        let mut command = evalsha(&self.scripts.prune, &[&self.keys.inflight, schedule]);
        command.arg(cursor).arg(u8::from(remove));
        reply::page(self.run(&self.scripts.prune, &command).await?)
    }

    /// Goes through hash, leases and retries.
    async fn look_through(&self, repair: bool) -> Result<DanglingRecords, QueueError> {
        let mut dangling = DanglingRecords::default();
        let lease_ms = if repair { self.lease_ms } else { 0 };
        let mut cursor = 0;
        loop {
            let found;
            (cursor, found) = self.recover_page(cursor, lease_ms).await?;
            dangling.messages += found;
            if cursor == 0 {
                break;
            }
        }
        for schedule in [&self.keys.leases, &self.keys.retries] {
            loop {
                let found;
                (cursor, found) = self.prune_page(schedule, cursor, repair).await?;
                dangling.schedules += found;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(dangling)
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
                let mut command = evalsha(&self.scripts.browse, &[&self.keys.inflight]);
                command.arg(cursor);
                let (next, payloads) = reply::browsed(self.run(&self.scripts.browse, &command).await?)?;
                Ok(Page { payloads, next: (next != 0).then_some(next) })
            }
        }
    }

    async fn requeue_lost(&self, messages: &[RequeuedMessage]) -> Result<usize, QueueError> {
        let mut new = 0;
        for batch in messages.chunks(LARGEST_BATCH) {
            let keys = &self.keys;
            let mut command = evalsha(&self.scripts.requeue_lost, &[&keys.inflight, &keys.leases, &keys.retries]);
            for RequeuedMessage { key, payload, attempts } in batch {
                command.arg(key).arg(*attempts).arg(payload);
            }
            new += reply::number(self.run(&self.scripts.requeue_lost, &command).await?)?;
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
        self.repaired_by_claims.take()
    }
}
