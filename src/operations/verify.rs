//! Audits queue against table from the outside: does every order that is not final have a message, and is every final
//! one accounted for?
//!
//! Table and queue can't be read at one moment. Orders are read before messages, and waiting messages before claimed
//! ones, so that the audit sees a moving message in one place or the other. It looks again, after a pause, for a
//! message that still seems to be missing before it counts. It changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::adoption::{self, Adoption, Rule};
use super::{Unanswered, count_and_first};
use crate::domain::message;
use crate::domain::order::{OrderId, State};
use crate::port::audit::Audit;
use crate::port::horizon::Horizons;
use crate::port::queue_maintenance::{Part, QueueMaintenance};
use crate::port::store::StoreError;

/// Rows judged by one statement.
const ROWS: usize = 5_000;

/// Orders asked for by one statement.
const BATCH: usize = 1_000;

/// How often what is missing is looked for again.
const LOOKS: usize = 2;

/// The findings of an audit. Only [`Findings::accounted_for`] decides; the other findings may have good reasons.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Findings {
    /// Number of orders by status.
    pub orders: BTreeMap<String, u64>,
    /// The messages in the queue.
    pub messages: Messages,
    /// `pending` or `processing` orders without a message, but for those that are left alone as they are older than the
    /// horizon.
    #[serde(serialize_with = "count_and_first")]
    pub without_message: Vec<OrderId>,
    /// `pending` or `processing` orders whose id no message can name, as it is below [`OrderId::LOWEST`]. Nobody works them.
    #[serde(serialize_with = "count_and_first")]
    pub below_lowest_id: Vec<OrderId>,
    /// `failed` orders without a dead letter.
    #[serde(serialize_with = "count_and_first")]
    pub without_dead_letter: Vec<OrderId>,
    /// `fulfilled` orders whose timeline doesn't have exactly one such entry.
    #[serde(serialize_with = "count_and_first")]
    pub not_fulfilled_once: Vec<OrderId>,
    /// `fulfilled` without any timeline: by another program, with `--events off`, or pruned by `--keep-events`.
    pub without_timeline: u64,
    /// Claimed messages that the next worker gives a lease.
    pub messages_without_lease: u64,
    /// Leases that the next worker removes.
    pub leases_without_message: u64,
    /// What becomes of orders without a message.
    #[serde(flatten)]
    pub adoption: Adoption,
}

/// How many messages the queue has. The last three may be among either of the first two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Messages {
    /// Messages that no worker has claimed yet.
    pub waiting: u64,
    /// Messages under a lease, or waiting for their retry.
    pub claimed: u64,
    /// Messages that can't be read: they end in the dead letters.
    pub unreadable: u64,
    /// Messages of orders that are final or have a foreign status: a worker drops them when it claims them.
    pub of_settled_orders: u64,
    /// Messages of orders that are not there (yet): they end in the dead letters if that stays so.
    pub of_unknown_orders: u64,
}

impl Findings {
    /// Whether every order is done once, or will be.
    pub fn accounted_for(&self) -> bool {
        [&self.without_message, &self.below_lowest_id, &self.without_dead_letter, &self.not_fulfilled_once]
            .iter()
            .all(|order_ids| order_ids.is_empty())
    }
}

/// Audits. Looks twice again for messages that seem to be missing, each time after `pause`. Uses some bytes of memory
/// for each order that is not final. What is left alone by the `rule` isn't missing if it is older than the horizon.
///
/// # Errors
/// When queue or store don't answer.
pub async fn verify(
    queue: &dyn QueueMaintenance,
    store: &dyn Audit,
    horizons: &dyn Horizons,
    rule: Rule,
    pause: Duration,
) -> Result<Findings, Unanswered> {
    let mut findings = Findings::default();
    // First, as a first start finds the queue as it is now.
    let known = adoption::known(queue, horizons, rule.chosen).await?;
    let mut missing = judge_rows(store, &mut findings).await?;
    look_for(queue, &mut missing, Some((store, &mut findings))).await?;
    let dangling = queue.dangling().await?;
    findings.messages_without_lease = dangling.messages;
    findings.leases_without_message = dangling.schedules;
    for _ in 0..LOOKS {
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
        missing = still_open(store, &missing).await?;
        look_for(queue, &mut missing, None).await?;
    }
    findings.adoption = adoption::judge(horizons, &missing, known, rule.max_age).await?;
    for order_id in &findings.adoption.left_alone.before_horizon {
        missing.remove(order_id);
    }
    findings.without_message = missing.into_iter().collect();
    Ok(findings)
}

/// Goes through the table, and returns the orders that need a message.
async fn judge_rows(store: &dyn Audit, findings: &mut Findings) -> Result<BTreeSet<OrderId>, StoreError> {
    let mut open = BTreeSet::new();
    let mut after = OrderId(i64::MIN);
    loop {
        let page = store.audit(after, ROWS).await?;
        let Some(last) = page.last else { return Ok(open) };
        after = last;
        for (state, orders) in page.orders_by_state {
            *findings.orders.entry(state).or_default() += orders;
        }
        let (nameable, below): (Vec<_>, Vec<_>) = page.open.into_iter().partition(|id| *id >= OrderId::LOWEST);
        open.extend(nameable);
        findings.below_lowest_id.extend(below);
        findings.without_timeline += page.without_timeline;
        findings.without_dead_letter.extend(page.failed_without_letter);
        findings.not_fulfilled_once.extend(page.not_fulfilled_once);
    }
}

/// Goes through the queue, and takes from `missing` what messages speak for.
async fn look_for(
    queue: &dyn QueueMaintenance,
    missing: &mut BTreeSet<OrderId>,
    mut count: Option<(&dyn Audit, &mut Findings)>,
) -> Result<(), Unanswered> {
    for part in [Part::Waiting, Part::Claimed] {
        let mut cursor = Some(0);
        while let Some(position) = cursor {
            let page = queue.browse(part, position).await?;
            let messages: Vec<_> = page.payloads.iter().map(|payload| message::decode(payload).ok()).collect();
            let order_ids: Vec<OrderId> = messages.iter().flatten().map(message::Message::order_id).collect();
            if let Some((store, findings)) = &mut count {
                let total = messages.len() as u64 + page.oversized;
                match part {
                    Part::Waiting => findings.messages.waiting += total,
                    Part::Claimed => findings.messages.claimed += total,
                }
                findings.messages.unreadable += total - order_ids.len() as u64;
                count_needless(*store, missing, &order_ids, findings).await?;
            }
            for order_id in &order_ids {
                missing.remove(order_id);
            }
            cursor = page.next;
        }
    }
    Ok(())
}

/// Counts messages that will cause no work. Skips those whose order is known to be open.
async fn count_needless(
    store: &dyn Audit,
    open: &BTreeSet<OrderId>,
    order_ids: &[OrderId],
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let others: Vec<OrderId> = order_ids.iter().copied().filter(|order_id| !open.contains(order_id)).collect();
    for batch in others.chunks(BATCH) {
        for state in store.states(batch).await? {
            match state {
                Some(State::Pending | State::Processing) => {}
                Some(_) => findings.messages.of_settled_orders += 1,
                None => findings.messages.of_unknown_orders += 1,
            }
        }
    }
    Ok(())
}

async fn still_open(store: &dyn Audit, order_ids: &BTreeSet<OrderId>) -> Result<BTreeSet<OrderId>, StoreError> {
    let order_ids: Vec<OrderId> = order_ids.iter().copied().collect();
    let mut open = BTreeSet::new();
    for batch in order_ids.chunks(BATCH) {
        let states = store.states(batch).await?;
        let found =
            batch.iter().zip(states).filter(|(_, state)| matches!(state, Some(State::Pending | State::Processing)));
        open.extend(found.map(|(order_id, _)| *order_id));
    }
    Ok(open)
}
