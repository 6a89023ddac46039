//! What queue and store hold after a step, beside what the model holds.

use std::collections::BTreeMap;
use std::time::Duration;

use fulfillment_model::Place;
use fulfillment_model::sequence::{ALL, LATER, World};
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::dead_letters::DeadLetterFilter;
use fulfillment_worker::port::queue::{Depth, Disposition, ReceiptState, Settlement};

use super::{Difference, Replay, due, number};
use fulfillment_worker_testkit::conformance::store::StoreFixture as _;

use crate::conformance::state_machine::backends::{Backend, LEASE, Seen, SeenPlace};

impl<B: Backend> Replay<'_, B> {
    /// States, and fences that move if and only if there was a transition, and then forward.
    pub(super) async fn compare_rows(&mut self, world: &World) -> Result<(), Difference> {
        for (order, expected) in world.store.rows.iter().enumerate() {
            if world.store.gone.contains(&order) {
                continue;
            }
            let row = self.backend.store().row(self.order_ids[order]).await;
            if row.status != expected.state.as_str() {
                return Err(format!("order {order} is {}, and in the model {:?}", row.status, expected.state));
            }
            let (version, before) = &self.rows[order];
            if row.fence.cmp(&before.fence) != expected.fence.cmp(version) {
                let (moved, real) = ([*version, expected.fence], [before.fence, row.fence]);
                return Err(format!("order {order}: fence {real:?}, and in the model {moved:?}"));
            }
            let holder = world.held.iter().position(|held| held.order == order && world.is_held(held));
            if holder.is_some_and(|held| self.fences[held] != row.fence) {
                return Err(format!("order {order}: its holder has not been told the fence {:?}", row.fence));
            }
            self.rows[order] = (expected.fence, row);
        }
        Ok(())
    }

    pub(super) async fn compare_letters(&mut self, world: &World) -> Result<(), Difference> {
        let mut found = self.stores[0].store.list(&DeadLetterFilter::default(), 0, 1_000).await.unwrap();
        found.sort_by_key(|letter| (number(&letter.payload), letter.id));
        let mut expected: Vec<usize> = (0..world.store.letters.len()).collect();
        expected.sort_by_key(|&letter| (world.store.letters[letter].message, letter));
        if found.len() != expected.len() {
            return Err(format!("{} dead letters, and in the model {}", found.len(), expected.len()));
        }
        self.letters.resize(expected.len(), 0);
        for (letter, found) in expected.into_iter().zip(found) {
            let expected = &world.store.letters[letter];
            self.letters[letter] = found.id;
            let resolution = found.resolved.map(|resolved| resolved.resolution);
            let facts = (number(&found.payload), found.order_id, found.reason.as_str(), found.attempts, resolution);
            let order_id = Some(self.order_ids[expected.order]);
            let reason = expected.reason.as_str();
            if facts != (expected.message, order_id, reason, expected.attempts, expected.resolution) {
                return Err(format!("letter {letter} is {facts:?}, and in the model {expected:?}"));
            }
        }
        Ok(())
    }

    /// Each message where it has to be, none more, none less.
    pub(super) async fn compare_messages(&mut self, world: &World) -> Result<(), Difference> {
        let found: BTreeMap<u32, Seen> =
            self.backend.messages().await.into_iter().map(|(payload, seen)| (number(&payload), seen)).collect();
        let mut depth = Depth::default();
        for message in world.queue.messages() {
            let number = message.number;
            let seen = found.get(&number).ok_or_else(|| format!("message {number} is lost"))?;
            if !fits(message.place, seen.place) || seen.attempts != message.attempts {
                return Err(format!("message {number} is {seen:?}, and in the model {message:?}"));
            }
            match message.place {
                Place::Waiting => depth.waiting += 1,
                Place::Leased { .. } => depth.in_flight += 1,
                Place::Retrying { .. } => depth.retrying += 1,
            }
            // What came due within the same millisecond has an order from here on.
            if let Some(rank) = due(message)
                && self.ranks.insert(number, rank) != Some(rank)
            {
                self.backend.set_due(&self.payload(number, message.order), rank).await;
            }
        }
        if let Some(number) = found.keys().find(|number| world.queue.message(**number).is_none()) {
            return Err(format!("message {number} is there, and not in the model"));
        }
        let counted = self.queues[0].depth().await.map_err(|error| format!("failed: {error}"))?;
        // In the model no time passes while it is compared.
        let counted = Depth { due: 0, retrying: counted.due + counted.retrying, ..counted };
        if counted == depth { Ok(()) } else { Err(format!("counted {counted:?}, and the model {depth:?}")) }
    }

    /// What holds at the end of every sequence; empties the queue.
    pub(in super::super) async fn end(self, world: &World) -> Result<(), Difference> {
        for order in 0..world.store.rows.len() {
            let entries = self.stores[0].store.timeline(self.order_ids[order]).await.unwrap();
            let timeline: Vec<(&str, u32)> =
                entries.iter().map(|entry| (entry.state.as_str(), entry.attempt)).collect();
            let expected = world.timeline(order);
            if timeline != expected {
                return Err(format!("the timeline of order {order} is {timeline:?}, and in the model {expected:?}"));
            }
            let fulfilled = timeline.iter().filter(|(status, _)| *status == "fulfilled").count();
            if fulfilled > 1 || entries.windows(2).any(|pair| pair[0].at >= pair[1].at) {
                return Err(format!("the timeline of order {order} has {entries:?}"));
            }
        }
        let audited = self.stores[0].store.audit(OrderId(0), 1_000).await.unwrap();
        if !audited.failed_without_letter.is_empty() || !audited.not_fulfilled_once.is_empty() {
            return Err(format!("the audit finds {audited:?}"));
        }
        for message in world.queue.messages() {
            if message.place != Place::Waiting {
                self.backend.set_due(&self.payload(message.number, message.order), message.number).await;
            }
        }
        let last = self.backend.queue().await;
        let claims = last.claim(ALL).await.map_err(|error| format!("failed: {error}"))?.claims;
        let acks: Vec<Settlement> = claims
            .into_iter()
            .map(|claim| Settlement { receipt: claim.receipt, disposition: Disposition::Ack })
            .collect();
        let settled = last.settle(&acks).await.map_err(|error| format!("failed: {error}"))?;
        let leftovers = self.backend.leftovers().await;
        if settled.len() != world.queue.messages().len()
            || settled.contains(&ReceiptState::Stale)
            || !leftovers.is_empty()
        {
            return Err(format!("{} messages are settled at the end; left is {leftovers:?}", settled.len()));
        }
        Ok(())
    }
}

fn fits(place: Place, seen: SeenPlace) -> bool {
    let half = |whole: Duration| i64::try_from(whole.as_millis()).unwrap() / 2;
    match (place, seen) {
        (Place::Waiting, SeenPlace::Waiting) => true,
        (Place::Leased { due: None }, SeenPlace::Leased { left_ms }) => left_ms > half(LEASE),
        (Place::Retrying { due: None }, SeenPlace::Retrying { left_ms }) => left_ms > half(LATER),
        (Place::Leased { due: Some(_) }, SeenPlace::Leased { left_ms })
        | (Place::Retrying { due: Some(_) }, SeenPlace::Retrying { left_ms }) => left_ms <= 0,
        _ => false,
    }
}
