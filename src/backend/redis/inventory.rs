//! Looking through the queue, in steps that hold Redis up no longer than a claim does.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::{LARGEST_BATCH, RedisQueue, evalsha, reply};
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{Adoption, Inventory, Page, Part, Strays};

/// Messages of the list in one page.
const PAGE: u64 = 500;

/// Strays that claims came across since anybody asked.
#[derive(Default)]
pub(super) struct FoundByClaims {
    messages: AtomicU64,
    schedules: AtomicU64,
}

impl FoundByClaims {
    pub(super) fn add_messages(&self, count: u64) {
        self.messages.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_schedules(&self, count: u64) {
        self.schedules.fetch_add(count, Ordering::Relaxed);
    }

    fn take(&self) -> Strays {
        Strays {
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
    async fn look_through(&self, repair: bool) -> Result<Strays, QueueError> {
        let mut strays = Strays::default();
        let lease_ms = if repair { self.lease_ms } else { 0 };
        let mut cursor = 0;
        loop {
            let found;
            (cursor, found) = self.recover_page(cursor, lease_ms).await?;
            strays.messages += found;
            if cursor == 0 {
                break;
            }
        }
        for schedule in [&self.keys.leases, &self.keys.retries] {
            loop {
                let found;
                (cursor, found) = self.prune_page(schedule, cursor, repair).await?;
                strays.schedules += found;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(strays)
    }
}

#[async_trait]
impl Inventory for RedisQueue {
    /// The list is read from the left: what producers push moves the others on, where they are seen again, and what
    /// workers claim leaves at the other end.
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError> {
        match part {
            Part::Waiting => {
                let mut command = ::redis::cmd("LRANGE");
                command.arg(&self.keys.list).arg(cursor).arg(cursor + PAGE - 1);
                let answer = match self.connection.query(&command).await {
                    Ok(answer) => answer,
                    Err(error) => return Err(self.explain(&error).await),
                };
                let payloads = reply::payloads(answer)?;
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

    async fn adopt(&self, adoptions: &[Adoption]) -> Result<usize, QueueError> {
        let mut adopted = 0;
        for batch in adoptions.chunks(LARGEST_BATCH) {
            let keys = &self.keys;
            let mut command = evalsha(&self.scripts.adopt, &[&keys.inflight, &keys.leases, &keys.retries]);
            for Adoption { key, payload, attempts } in batch {
                command.arg(key).arg(*attempts).arg(payload);
            }
            adopted += reply::number(self.run(&self.scripts.adopt, &command).await?)?;
        }
        Ok(adopted)
    }

    async fn strays(&self) -> Result<Strays, QueueError> {
        self.look_through(false).await
    }

    async fn repair(&self) -> Result<Strays, QueueError> {
        self.look_through(true).await
    }

    fn repaired_by_claims(&self) -> Strays {
        self.found_by_claims.take()
    }
}
