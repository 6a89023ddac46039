//! The queue.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use fulfillment_worker::domain::message::{MAX_MESSAGE_BYTES, Oversized};
use fulfillment_worker::port::queue::{
    Claim, Claimed, Depth, Disposition, Producer, Queue, QueueError, QueueReports, Receipt, ReceiptState, Settlement,
};
use fulfillment_worker::port::queue_maintenance::{DanglingRecords, Page, Part, QueueMaintenance, RequeuedMessage};
use tokio::time::Instant;

use super::{All, Memory, between, micros};

/// The most messages of a page.
const PAGE: usize = 500;

/// The queue of a [`Memory`], opened by a worker.
#[derive(Debug)]
pub struct MemoryQueue {
    memory: Memory,
    lease: Duration,
}

/// Messages that wait, and those that were claimed.
#[derive(Default)]
pub(super) struct Messages {
    /// The next one to be claimed first.
    waiting: VecDeque<Vec<u8>>,
    /// By the order in which they came to be here.
    claimed: BTreeMap<u64, Held>,
    last: u64,
}

/// A message that was claimed, or put in by a reconciler.
struct Held {
    claim_id: String,
    payload: Vec<u8>,
    attempts: u32,
    /// Of the delivery that holds it; `None` while it waits to be delivered again.
    token: Option<String>,
    /// When its lease ends, or its retry is due.
    due: i64,
}

impl Messages {
    pub(super) fn push(&mut self, payload: Vec<u8>) {
        self.waiting.push_back(payload);
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Takes messages whose lease ran out first, then retries that are due, then new ones, each kind oldest first.
    fn claim(&mut self, limit: usize, now: i64, lease: Duration) -> Claimed {
        let mut due: Vec<_> = self.claimed.iter().filter(|(_, held)| held.due <= now).collect();
        due.sort_by_key(|(number, held)| (held.token.is_none(), held.due, **number));
        let mut numbers: Vec<u64> = due.into_iter().take(limit).map(|(number, _)| *number).collect();
        while numbers.len() < limit
            && let Some(payload) = self.waiting.pop_front()
        {
            let number = self.next();
            let held = Held { claim_id: format!("message-{number}"), payload, attempts: 0, token: None, due: now };
            self.claimed.insert(number, held);
            numbers.push(number);
        }
        let until = now.saturating_add(micros(lease));
        let claims = numbers.into_iter().filter_map(|number| self.deliver(number, until)).collect();
        Claimed { claims, next_due: self.next_due(now) }
    }

    fn deliver(&mut self, number: u64, until: i64) -> Option<Claim> {
        let token = format!("delivery-{}", self.next());
        let held = self.claimed.get_mut(&number)?;
        held.attempts = held.attempts.saturating_add(1);
        held.token = Some(token.clone());
        held.due = until;
        let bytes = held.payload.len();
        let oversized = (bytes > MAX_MESSAGE_BYTES).then(|| Oversized::of(&held.payload, bytes as u64));
        let payload = held.payload.get(..MAX_MESSAGE_BYTES).unwrap_or(&held.payload).to_vec();
        let receipt = Receipt { claim_id: held.claim_id.clone(), token };
        Some(Claim { receipt, payload, oversized, attempt: held.attempts })
    }

    /// Zero while there is something to claim; `None` if nothing is there at all.
    fn next_due(&self, now: i64) -> Option<Duration> {
        if !self.waiting.is_empty() {
            return Some(Duration::ZERO);
        }
        self.claimed.values().map(|held| between(now, held.due)).min()
    }

    /// The message that this receipt holds.
    fn held(&self, receipt: &Receipt) -> Option<u64> {
        let holds = |held: &Held| held.claim_id == receipt.claim_id && held.token.as_ref() == Some(&receipt.token);
        self.claimed.iter().find(|(_, held)| holds(held)).map(|(number, _)| *number)
    }

    fn settle(&mut self, settlement: &Settlement, now: i64) -> ReceiptState {
        let Some(number) = self.held(&settlement.receipt) else { return ReceiptState::Stale };
        match settlement.disposition {
            Disposition::Ack => drop(self.claimed.remove(&number)),
            Disposition::Retry { after, spent } => {
                if let Some(held) = self.claimed.get_mut(&number) {
                    held.token = None;
                    held.due = now.saturating_add(micros(after));
                    held.attempts = held.attempts.saturating_sub(u32::from(!spent));
                }
            }
        }
        ReceiptState::Valid
    }

    fn depth(&self, now: i64) -> Depth {
        let waiting = self.waiting.len() as u64;
        let mut depth = Depth { waiting, ..Depth::default() };
        for held in self.claimed.values() {
            let kind = match &held.token {
                Some(_) => &mut depth.in_flight,
                None if held.due <= now => &mut depth.due,
                None => &mut depth.retrying,
            };
            *kind += 1;
        }
        depth
    }
}

impl MemoryQueue {
    pub(super) fn new(memory: Memory, lease: Duration) -> Self {
        Self { memory, lease }
    }

    /// Runs `change` at the present time, and wakes whoever waits.
    fn change<T>(&self, change: impl FnOnce(&mut Messages, i64) -> T) -> T {
        let mut all = self.memory.0.all.lock();
        let now = all.now();
        let answer = change(&mut all.messages, now);
        drop(all);
        self.memory.0.changed.notify_waiters();
        answer
    }

    fn read<T>(&self, read: impl FnOnce(&Messages, i64) -> T) -> T {
        let All { clock, messages, .. } = &mut *self.memory.0.all.lock();
        read(messages, clock.now())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError> {
        Ok(self.change(|messages, now| messages.claim(limit, now, self.lease)))
    }

    async fn wait(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        loop {
            let changed = self.memory.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let due = self.read(Messages::next_due);
            if due == Some(Duration::ZERO) {
                return;
            }
            let until = due.map_or(deadline, |due| deadline.min(Instant::now() + due));
            let woken = tokio::time::timeout_at(until, changed).await.is_ok();
            if !woken && Instant::now() >= deadline {
                return;
            }
        }
    }

    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<ReceiptState>, QueueError> {
        let renew = |messages: &mut Messages, now: i64| {
            let until = now.saturating_add(micros(self.lease));
            let renew_one = |receipt| match messages.held(receipt).and_then(|number| messages.claimed.get_mut(&number))
            {
                Some(held) => {
                    held.due = until;
                    ReceiptState::Valid
                }
                None => ReceiptState::Stale,
            };
            receipts.iter().map(renew_one).collect()
        };
        Ok(self.change(renew))
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<ReceiptState>, QueueError> {
        Ok(self.change(|messages, now| settlements.iter().map(|one| messages.settle(one, now)).collect()))
    }

    /// Every claim is answered.
    async fn release_unanswered(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

#[async_trait]
impl Producer for MemoryQueue {
    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError> {
        self.change(|messages, _| messages.waiting.extend(payloads.iter().cloned()));
        Ok(())
    }
}

#[async_trait]
impl QueueReports for MemoryQueue {
    async fn depth(&self) -> Result<Depth, QueueError> {
        Ok(self.read(Messages::depth))
    }

    async fn configuration_warning(&self) -> Result<Option<String>, QueueError> {
        Ok(None)
    }
}

#[async_trait]
impl QueueMaintenance for MemoryQueue {
    /// From the newest on where they wait: what is pushed meanwhile is seen twice, and nothing is passed over.
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError> {
        Ok(self.read(|messages, _| match part {
            Part::Waiting => page(messages.waiting.iter().rev(), cursor),
            Part::Claimed => {
                let mut from = messages.claimed.range(cursor..);
                let page = part_of(from.by_ref().take(PAGE).map(|(_, held)| &held.payload));
                Page { next: from.next().map(|(number, _)| *number), ..page }
            }
        }))
    }

    async fn oldest(&self, cursor: u64) -> Result<Page, QueueError> {
        Ok(self.read(|messages, _| page(messages.waiting.iter(), cursor)))
    }

    async fn requeue_lost(&self, messages: &[RequeuedMessage]) -> Result<usize, QueueError> {
        Ok(self.change(|queue, now| {
            let mut there: HashSet<String> = queue.claimed.values().map(|held| held.claim_id.clone()).collect();
            let mut new = 0;
            for message in messages {
                if !there.insert(message.key.clone()) {
                    continue;
                }
                let (claim_id, payload, attempts) = (message.key.clone(), message.payload.clone(), message.attempts);
                let number = queue.next();
                queue.claimed.insert(number, Held { claim_id, payload, attempts, token: None, due: now });
                new += 1;
            }
            new
        }))
    }

    /// There are none: a message and its schedule are one.
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

/// Those from the position `cursor` on.
fn page<'a>(all: impl ExactSizeIterator<Item = &'a Vec<u8>>, cursor: u64) -> Page {
    let begin = usize::try_from(cursor).unwrap_or(usize::MAX);
    let next = (all.len() > begin.saturating_add(PAGE)).then(|| cursor.saturating_add(PAGE as u64));
    Page { next, ..part_of(all.skip(begin).take(PAGE)) }
}

/// The last page, with these messages.
fn part_of<'a>(messages: impl Iterator<Item = &'a Vec<u8>>) -> Page {
    let (read, long): (Vec<_>, Vec<_>) = messages.partition(|bytes| bytes.len() <= MAX_MESSAGE_BYTES);
    Page { payloads: read.into_iter().cloned().collect(), oversized: long.len() as u64, next: None }
}
