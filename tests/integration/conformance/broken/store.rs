//! Stores.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fulfillment_worker::WorkerId;
use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, NotBefore, OrderStore, Renewal, Renewed, StoreError, Target, Verdict,
};
use fulfillment_worker_testkit::conformance::store::{
    Letter, Row, StoreFixture, StoreRecords, Transition, When, Worker,
};
use fulfillment_worker_testkit::memory::{Memory, MemoryStore};

use super::bugs;
use crate::conformance::memory::InMemory;

bugs! { Broken, store:
    ignores_the_fence is caught by concluding::a_stale_worker_can_neither_conclude_nor_renew_after_a_takeover,
    takes_an_older_fence is caught by rules::every_state_answers_a_conclusion_as_the_rules_do,
    ends_a_lease_half_way is caught by rules::every_state_answers_a_begin_as_the_rules_do,
    takes_over_whoever_works is caught by beginning::an_order_in_work_is_busy_for_the_rest_of_its_lease,
    takes_cancelled_for_done is caught by rules::every_state_answers_a_begin_as_the_rules_do,
    renews_what_is_not_in_work is caught by rules::every_state_answers_a_renewal_as_the_rules_do,
    renews_without_moving_the_fence is caught by concluding::the_fence_moves_strictly_forward,
    keeps_a_row_that_it_can_not_write is caught by concluding::a_row_whose_renewal_the_database_refuses_is_lost_and_harms_no_neighbour,
    starts_an_order_twice is caught by beginning::the_same_order_twice_in_a_batch_is_started_once,
    answers_in_order_of_id is caught by beginning::answers_come_by_position,
    writes_the_letter_of_a_superseded_worker is caught by concluding::an_order_that_is_superseded_has_no_dead_letter,
    forgets_the_reference is caught by concluding::what_is_told_of_an_end_is_kept,
    forgets_the_letter is caught by concluding::a_failed_order_has_its_dead_letter,
    fails_the_batch_for_one_row is caught by beginning::a_row_that_the_database_refuses_does_not_harm_its_neighbours,
    takes_any_row_for_a_lost_answer is caught by concluding::a_lost_answer_excuses_nothing_but_the_same_conclusion,
    knows_no_lost_answer is caught by concluding::concluding_again_after_a_lost_answer_is_done,
    takes_another_order_for_the_one_that_is_gone is caught by concluding::an_order_whose_id_another_one_has_by_now_is_superseded_by_nothing,
    buries_a_message_twice is caught by burying::a_claim_id_is_buried_once,
}

/// A store in memory with a bug: the one of this number.
struct Broken<const BUG: usize>(InMemory);

impl<const BUG: usize> StoreFixture for Broken<BUG> {
    type Store = BrokenStore;

    async fn fresh() -> Self {
        Self(InMemory(Memory::new()))
    }

    async fn worker(&self, lease: Duration) -> Worker<BrokenStore> {
        let (id, memory, bug) = (WorkerId::fresh(), self.0.0.clone(), Bug::ALL[BUG]);
        let lease = match bug {
            Bug::ends_a_lease_half_way => lease / 2,
            Bug::takes_over_whoever_works => Duration::ZERO,
            _ => lease,
        };
        let store = memory.store(id.clone(), lease);
        Worker { id, store: Arc::new(BrokenStore { store, memory, bug }) }
    }

    async fn put(&self, status: &str, idle: Duration) -> OrderId {
        self.0.put(status, idle).await
    }

    async fn row(&self, order_id: OrderId) -> Row {
        self.0.row(order_id).await
    }

    async fn set_created(&self, order_id: OrderId, when: When) {
        self.0.set_created(order_id, when).await;
    }

    async fn set_updated(&self, order_id: OrderId, when: When) {
        self.0.set_updated(order_id, when).await;
    }

    async fn refuse(&self, order_id: OrderId) {
        self.0.refuse(order_id).await;
    }
}

impl<const BUG: usize> StoreRecords for Broken<BUG> {
    async fn letters(&self) -> Vec<Letter> {
        self.0.letters().await
    }

    async fn timeline(&self, order_id: OrderId) -> Vec<Transition> {
        self.0.timeline(order_id).await
    }
}

struct BrokenStore {
    store: MemoryStore,
    memory: Memory,
    bug: Bug,
}

impl BrokenStore {
    fn state(&self, order_id: OrderId) -> Option<State> {
        self.memory.row(order_id).map(|(status, _)| State::from(status.as_str()))
    }

    /// As the bug has it.
    fn asked(&self, conclusion: &Conclusion) -> Conclusion {
        let mut asked = conclusion.clone();
        let row = self.memory.row(conclusion.order_id);
        match (self.bug, row) {
            (Bug::ignores_the_fence, Some((_, fence))) => asked.fence = fence,
            (Bug::takes_an_older_fence, Some((_, fence))) if conclusion.fence < fence => asked.fence = fence,
            (Bug::takes_another_order_for_the_one_that_is_gone, _) => asked.created_at_micros = None,
            (Bug::forgets_the_reference, _) => {
                if let Target::Fulfilled { reference } = &mut asked.to {
                    *reference = None;
                }
            }
            (Bug::knows_no_lost_answer, _) => asked.maybe_applied = false,
            _ => {}
        }
        asked
    }

    /// As the bug has it.
    async fn answered(&self, conclusion: &Conclusion, verdict: Verdict) -> Verdict {
        match (self.bug, &verdict, &conclusion.to) {
            (Bug::writes_the_letter_of_a_superseded_worker, Verdict::Superseded(_), Target::Failed(letter)) => {
                self.store.insert_dead_letters(std::slice::from_ref(letter)).await.unwrap();
            }
            (Bug::takes_any_row_for_a_lost_answer, Verdict::Superseded(Some(_)), _) if conclusion.maybe_applied => {
                return Verdict::Done { age: None };
            }
            _ => {}
        }
        verdict
    }
}

#[async_trait]
impl OrderStore for BrokenStore {
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        let mut answers = self.store.begin(requests).await?;
        match self.bug {
            Bug::starts_an_order_twice => {
                let started = answers.iter().find(|answer| matches!(answer, Begun::Started { .. })).cloned();
                for answer in answers.iter_mut().filter(|answer| matches!(answer, Begun::Busy(_))) {
                    *answer = started.clone().unwrap_or(Begun::Unknown);
                }
            }
            Bug::answers_in_order_of_id => {
                let mut by_id: Vec<_> = requests.iter().map(|request| request.order_id).zip(answers).collect();
                by_id.sort_by_key(|(order_id, _)| *order_id);
                answers = by_id.into_iter().map(|(_, answer)| answer).collect();
            }
            Bug::fails_the_batch_for_one_row => {
                if let Some(Begun::Refused(why)) = answers.iter().find(|answer| matches!(answer, Begun::Refused(_))) {
                    return Err(StoreError::Refused(why.clone()));
                }
            }
            Bug::takes_cancelled_for_done => {
                for answer in &mut answers {
                    if *answer == Begun::NotOurs("cancelled".to_owned()) {
                        *answer = Begun::AlreadyFinal(State::Cancelled);
                    }
                }
            }
            _ => {}
        }
        Ok(answers)
    }

    async fn note_not_before(&self, times: &[NotBefore]) -> Result<(), StoreError> {
        self.store.note_not_before(times).await
    }

    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        match self.bug {
            Bug::renews_what_is_not_in_work => Ok(renewals
                .iter()
                .map(|renewal| match self.memory.row(renewal.order_id) {
                    Some((_, fence)) if fence == renewal.fence => Renewed::Kept(fence),
                    _ => Renewed::Lost,
                })
                .collect()),
            Bug::renews_without_moving_the_fence => Ok(renewals
                .iter()
                .map(|renewal| match self.state(renewal.order_id) {
                    Some(State::Processing) => Renewed::Kept(renewal.fence),
                    _ => Renewed::Lost,
                })
                .collect()),
            Bug::keeps_a_row_that_it_can_not_write => {
                let mut answers = self.store.renew(renewals).await?;
                for (answer, renewal) in answers.iter_mut().zip(renewals) {
                    if self.memory.row(renewal.order_id).is_some_and(|(_, fence)| fence == renewal.fence) {
                        *answer = Renewed::Kept(renewal.fence);
                    }
                }
                Ok(answers)
            }
            _ => self.store.renew(renewals).await,
        }
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        let mut verdicts = Vec::new();
        for conclusion in conclusions {
            let mut asked = self.asked(conclusion);
            if let (Bug::forgets_the_letter, Target::Failed(letter)) = (self.bug, &asked.to) {
                asked.to = Target::Pending { reason: letter.detail.clone() };
            }
            let answer = self.store.conclude(&[asked]).await?.remove(0);
            verdicts.push(self.answered(conclusion, answer).await);
        }
        Ok(verdicts)
    }

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let mut letters = letters.to_vec();
        if self.bug == Bug::buries_a_message_twice {
            for (number, letter) in letters.iter_mut().enumerate() {
                letter.claim_id = format!("{} {number}", letter.claim_id);
            }
        }
        self.store.insert_dead_letters(&letters).await
    }
}
