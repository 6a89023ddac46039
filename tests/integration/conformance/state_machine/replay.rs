//! Takes the steps of a sequence at a real queue and a real store, and compares both with the model after each.

mod comparison;
mod deciding;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fulfillment_model::sequence::{
    ALL, Answer, End, NextDue, ORDERS, ROW_LEASE, Step, WORKERS, World, spent_before_requeue,
};
use fulfillment_model::{Message, Place};
use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::order::{Fence, OrderId, State};
use fulfillment_worker::port::dead_letters::{Decision, Redriven};
use fulfillment_worker::port::queue::{self, ReceiptState, Settlement};
use fulfillment_worker::port::queue_maintenance::{LiveLeases, RequeuedMessage};
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, DeadLetter, Renewal, Renewed, Target};

use super::backends::Backend;
use crate::conformance::queue::AnyQueue;
use crate::conformance::store::{Row, StoreFixture, Worker, testkit::StoreFixture as _};

const LONGER_THAN_ROW_LEASE: Duration = Duration::from_secs(900);
/// An order that has no row.
const NO_ROW: OrderId = OrderId(2_000_000_000);

/// What went otherwise than the model says.
pub(super) type Difference = String;

/// A sequence under way.
pub(super) struct Replay<'a, B: Backend> {
    backend: &'a mut B,
    order_ids: Vec<OrderId>,
    queues: Vec<Arc<dyn AnyQueue>>,
    stores: &'a [Worker],
    receipts: Vec<queue::Receipt>,
    fences: Vec<Fence>,
    /// What each row had last, by the model and by the store.
    rows: Vec<(Fence, Row)>,
    /// Ids of dead letters, by their number in the model.
    letters: Vec<i64>,
    /// The rank that each message that is due was given.
    ranks: BTreeMap<u32, u32>,
}

/// The store as each worker opens it, for all sequences.
pub(super) async fn stores<B: Backend>(backend: &B) -> Vec<Worker> {
    let mut stores = Vec::new();
    for _ in 0..WORKERS {
        stores.push(backend.store().worker(ROW_LEASE).await);
    }
    stores
}

impl<'a, B: Backend> Replay<'a, B> {
    pub(super) async fn new(backend: &'a mut B, stores: &'a [Worker]) -> Self {
        backend.empty().await;
        backend.store().empty().await;
        let (mut queues, mut order_ids, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..WORKERS {
            queues.push(backend.queue().await);
        }
        for _ in 0..ORDERS {
            let order_id = backend.store().put("pending", Duration::from_secs(60)).await;
            rows.push((Fence(0), backend.store().row(order_id).await));
            order_ids.push(order_id);
        }
        order_ids.push(NO_ROW);
        Self {
            backend,
            order_ids,
            queues,
            stores,
            receipts: Vec::new(),
            fences: Vec::new(),
            rows,
            letters: Vec::new(),
            ranks: BTreeMap::new(),
        }
    }

    /// Takes a step that has led to `world`.
    pub(super) async fn take(&mut self, step: &Step, world: &World) -> Result<(), Difference> {
        let answer = self.carry_out(step, world).await?;
        if !answer.agrees(&world.answer) {
            return Err(format!("answered {answer:?}, and the model {:?}", world.answer));
        }
        self.compare_rows(world).await?;
        self.compare_letters(world).await?;
        self.compare_messages(world).await
    }

    async fn carry_out(&mut self, step: &Step, world: &World) -> Result<Answer, Difference> {
        let failed = |error: &dyn std::fmt::Display| format!("failed: {error}");
        match step {
            Step::Push { orders } => {
                let first = world.queue.last_pushed() + 1 - u32::try_from(orders.len()).unwrap();
                let payloads: Vec<Vec<u8>> =
                    (first..).zip(orders).map(|(number, order)| self.payload(number, *order)).collect();
                self.queues[0].push(&payloads).await.map_err(|error| failed(&error))?;
                Ok(Answer::Nothing)
            }
            Step::Claim { worker, limit } => self.claim(*worker, *limit, world).await,
            Step::LoseClaim { worker, limit } => {
                // Connected, so that the claim's answer is the next one.
                self.queues[*worker].depth().await.map_err(|error| failed(&error))?;
                self.backend.lose_answers(true);
                let answer = self.queues[*worker].claim(*limit).await;
                self.backend.lose_answers(false);
                match answer {
                    Err(error) if error.is_transient() => Ok(Answer::Lost),
                    other => Err(format!("a claim whose answer got lost came to {other:?}")),
                }
            }
            Step::HandBack { worker } => {
                self.queues[*worker].release_unanswered().await.map_err(|error| failed(&error))?;
                Ok(Answer::Nothing)
            }
            Step::ReturnToList { takes_leased } => {
                let page = self.queues[0].claimed(0).await.map_err(|error| failed(&error))?;
                let ids: Vec<String> = page.messages.into_iter().map(|message| message.claim_id).collect();
                let live = if *takes_leased { LiveLeases::Take } else { LiveLeases::Leave };
                let done = self.queues[0].hand_back(&ids, live).await.map_err(|error| failed(&error))?;
                Ok(Answer::Returned(usize::try_from(done.returned).unwrap()))
            }
            Step::MessageComesDue { message } => {
                let message = world.queue.message(*message).unwrap();
                self.backend.set_due(&self.payload(message.number, message.order), due(message).unwrap()).await;
                Ok(Answer::Nothing)
            }
            Step::Begin { worker, receipts } => self.begin(*worker, receipts, world).await,
            Step::RenewRows { worker, held } => self.renew_rows(*worker, held, world).await,
            Step::RenewMessages { worker, receipts } => {
                let receipts: Vec<_> = receipts.iter().map(|&number| self.receipts[number].clone()).collect();
                let verdicts = self.queues[*worker].renew(&receipts).await.map_err(|error| failed(&error))?;
                Ok(Answer::Valid(verdicts.into_iter().map(|held| held == ReceiptState::Valid).collect()))
            }
            Step::Conclude { worker, ends } => self.conclude(*worker, ends, world).await,
            Step::Settle { worker, settlements } => {
                let settlement = |&(receipt, disposition): &(usize, _)| Settlement {
                    receipt: self.receipts[receipt].clone(),
                    disposition,
                };
                let settlements: Vec<Settlement> = settlements.iter().map(settlement).collect();
                let verdicts = self.queues[*worker].settle(&settlements).await.map_err(|error| failed(&error))?;
                Ok(Answer::Valid(verdicts.into_iter().map(|held| held == ReceiptState::Valid).collect()))
            }
            Step::RowLeaseEnds { order } => {
                self.as_if_written(*order, Written::LongAgo, world).await;
                Ok(Answer::Nothing)
            }
            Step::ClockPutBack { order } => {
                self.as_if_written(*order, Written::Ahead, world).await;
                Ok(Answer::Nothing)
            }
            Step::Cancel { order } | Step::Reinstate { order } => {
                let status = world.store.rows[*order].state.as_str();
                self.backend.store().set_status(self.order_ids[*order], status).await;
                Ok(Answer::Nothing)
            }
            Step::RowVanishes { order } => {
                self.backend.store().remove(self.order_ids[*order]).await;
                Ok(Answer::Nothing)
            }
            Step::Requeue { orders } => {
                let adoption = |&order: &usize| {
                    let (number, key) = world.requeued_message(order).expect("it is requeued now");
                    RequeuedMessage { key, payload: self.payload(number, order), attempts: spent_before_requeue(order) }
                };
                let adoptions: Vec<RequeuedMessage> = orders.iter().map(adoption).collect();
                Ok(Answer::Requeued(self.queues[0].requeue_lost(&adoptions).await.map_err(|error| failed(&error))?))
            }
            Step::Decide { kind, orders } => self.decide(*kind, orders).await.map_err(|error| failed(&error)),
            Step::Job { kind, dies_after } => self.work_off(*kind, *dies_after).await.map_err(|error| failed(&error)),
            Step::InsertLetters { worker, receipts, reason } => {
                let letters: Vec<DeadLetter> =
                    receipts.iter().map(|&receipt| self.letter(receipt, *reason, world)).collect();
                self.stores[*worker].store.insert_dead_letters(&letters).await.map_err(|error| failed(&error))?;
                Ok(Answer::Nothing)
            }
            Step::Redrive { letters } => self.redrive(letters).await,
            Step::Resolve { letters, resolution } => {
                let ids: Vec<i64> = letters.iter().map(|&letter| self.letters[letter]).collect();
                let marked = self.stores[0].store.resolve(&ids, *resolution, &decision()).await;
                Ok(Answer::Resolved(marked.map_err(|error| failed(&error))?))
            }
        }
    }

    /// Different for each message, so that it is recognised wherever it is.
    fn payload(&self, message: u32, order: usize) -> Vec<u8> {
        let order_id = self.order_ids[order];
        format!(r#"{{"order_id":{order_id},"product_id":1,"quantity":1,"message":{message}}}"#).into_bytes()
    }

    async fn claim(&mut self, worker: usize, limit: usize, world: &World) -> Result<Answer, Difference> {
        let found = self.queues[worker].claim(limit).await.map_err(|error| format!("failed: {error}"))?;
        let next = match found.next_due {
            None => NextDue::Never,
            Some(Duration::ZERO) => NextDue::Now,
            Some(_) => NextDue::Later,
        };
        let mut claimed: Vec<(u32, u32)> =
            found.claims.iter().map(|claim| (number(&claim.payload), claim.attempt)).collect();
        let Answer::Claimed(expected, _) = &world.answer else { return Err("no claim was expected".to_owned()) };
        let was_returned = |(number, _): &(u32, u32)| world.queue.message(*number).is_some_and(|one| one.returned > 0);
        // What is handed back, within the claim or by an operator, comes in any order, and then all of it comes.
        let is_unordered = B::LOSES_ANSWERS || expected.iter().any(was_returned);
        if limit == ALL && is_unordered && sorted(&claimed) == sorted(expected) {
            claimed.clone_from(expected);
        }
        for (message, _) in expected {
            let claim = found.claims.iter().find(|claim| number(&claim.payload) == *message);
            self.receipts.extend(claim.map(|claim| claim.receipt.clone()));
        }
        Ok(Answer::Claimed(claimed, next))
    }

    async fn begin(&mut self, worker: usize, receipts: &[usize], world: &World) -> Result<Answer, Difference> {
        let requests: Vec<BeginRequest> = receipts
            .iter()
            .map(|&receipt| {
                let (_, receipt) = world.receipts[receipt];
                let order_id = self.order_ids[receipt.order];
                BeginRequest { order_id, attempt: receipt.attempt, correlation_id: None }
            })
            .collect();
        let begun = self.stores[worker].store.begin(&requests).await.map_err(|error| format!("failed: {error}"))?;
        for (request, answer) in requests.iter().zip(&begun) {
            if let Begun::Started { order, fence, .. } = answer {
                if (order.id, order.attempt) != (request.order_id, request.attempt) {
                    return Err(format!("asked for {request:?}, started {order:?}"));
                }
                self.fences.push(*fence);
            }
        }
        Ok(Answer::Begun(begun))
    }

    async fn renew_rows(&mut self, worker: usize, held: &[usize], world: &World) -> Result<Answer, Difference> {
        let renewals: Vec<Renewal> = held
            .iter()
            .map(|&held| Renewal { order_id: self.order_ids[world.held[held].order], fence: self.fences[held] })
            .collect();
        let renewed = self.stores[worker].store.renew(&renewals).await.map_err(|error| format!("failed: {error}"))?;
        self.fences.extend(renewed.iter().filter_map(|answer| match answer {
            Renewed::Kept(fence) => Some(*fence),
            Renewed::Lost | Renewed::Locked => None,
        }));
        Ok(Answer::Renewed(renewed))
    }

    async fn conclude(&mut self, worker: usize, ends: &[End], world: &World) -> Result<Answer, Difference> {
        let conclusion = |end: &End| {
            let held = world.held[end.held];
            let to = match end.to {
                State::Fulfilled => Target::Fulfilled { reference: None },
                State::Failed => Target::Failed(self.letter(held.receipt, DeadReason::Rejected, world)),
                _ => Target::Pending { reason: "to be tried again".to_owned() },
            };
            Conclusion {
                order_id: self.order_ids[held.order],
                fence: self.fences[end.held],
                attempt: world.receipts[held.receipt].1.attempt,
                to,
                maybe_applied: end.maybe_applied,
                created_at_micros: None,
            }
        };
        let conclusions: Vec<Conclusion> = ends.iter().map(conclusion).collect();
        let verdicts = self.stores[worker].store.conclude(&conclusions).await;
        Ok(Answer::Concluded(verdicts.map_err(|error| format!("failed: {error}"))?))
    }

    fn letter(&self, receipt: usize, reason: DeadReason, world: &World) -> DeadLetter {
        let (_, known) = world.receipts[receipt];
        DeadLetter {
            claim_id: self.receipts[receipt].claim_id.clone(),
            order_id: Some(self.order_ids[known.order]),
            payload: self.payload(known.message, known.order),
            reason,
            detail: "as the sequence has it".to_owned(),
            attempts: known.attempt,
        }
    }

    async fn redrive(&mut self, letters: &[usize]) -> Result<Answer, Difference> {
        let ids: Vec<i64> = letters.iter().map(|&letter| self.letters[letter]).collect();
        let answers =
            self.stores[0].store.redrive(&ids, &decision()).await.map_err(|error| format!("failed: {error}"))?;
        let mut steps = Vec::new();
        for answer in answers {
            let Redriven::Decided { step, .. } = answer else { return Err(format!("answered {answer:?}")) };
            steps.push(step);
        }
        Ok(Answer::Redriven(steps))
    }

    /// As if the row had been written at another time: whoever holds it holds that time.
    async fn as_if_written(&mut self, order: usize, written: Written, world: &World) {
        let order_id = self.order_ids[order];
        let before = self.backend.store().row(order_id).await.fence;
        match written {
            Written::LongAgo => self.backend.store().set_idle(order_id, LONGER_THAN_ROW_LEASE).await,
            Written::Ahead => self.backend.store().set_ahead(order_id, LONGER_THAN_ROW_LEASE).await,
        }
        let row = self.backend.store().row(order_id).await;
        for (held, fence) in world.held.iter().zip(&mut self.fences) {
            if held.order == order && *fence == before {
                *fence = row.fence;
            }
        }
        self.rows[order].1 = row;
    }
}

/// When a row was written, by the clock as it is now.
enum Written {
    LongAgo,
    Ahead,
}

fn due(message: &Message) -> Option<u32> {
    match message.place {
        Place::Leased { due } | Place::Retrying { due } => due,
        Place::Waiting => None,
    }
}

fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}

/// The message's number, from its bytes.
fn number(payload: &[u8]) -> u32 {
    let text = std::str::from_utf8(payload).expect("a payload of ours");
    text.rsplit(':').next().and_then(|rest| rest.trim_end_matches('}').parse().ok()).expect("its number")
}

fn decision() -> Decision {
    Decision { by: "anna".to_owned(), reason: "as the sequence has it".to_owned() }
}
