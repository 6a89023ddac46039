//! What may happen next, and how likely a sequence takes it.

use std::time::Duration;

use fulfillment_worker::domain::dead_letter::{DeadReason, Resolution};
use fulfillment_worker::domain::order::State;
use fulfillment_worker::port::queue::Disposition;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;

use super::{ALL, LATER, ORDERS, WORKERS, World};

/// Items in one call at most.
const LARGEST_BATCH: usize = 4;
/// Messages in the queue at a time, so that a sequence meets the same ones again.
const MOST_MESSAGES: usize = 8;
/// How much rather what is still worth something is used than what is not.
const PREFERENCE: usize = 4;

/// What an operator does with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cancel,
    Hold,
    Release,
}

/// One step. Numbers as in [`World`].
#[derive(Debug, Clone)]
pub enum Step {
    /// The order API, or a person who retries a dead letter. An order named twice gets two messages.
    Push {
        orders: Vec<usize>,
    },
    Claim {
        worker: usize,
        limit: usize,
    },
    /// The queue hands out, and the answer gets lost.
    LoseClaim {
        worker: usize,
        limit: usize,
    },
    /// A worker that claims no more gives back what it was never told of.
    HandBack {
        worker: usize,
    },
    /// An operator makes every claimed message new again, those under leases too or not.
    ReturnToList {
        takes_leased: bool,
    },
    /// An operator decides about orders, each once.
    Decide {
        kind: Kind,
        orders: Vec<usize>,
    },
    /// An operator decides about all orders that are pending, by a job, newest first: whoever has it dies when it has decided about
    /// so many, and another one goes on.
    Job {
        kind: Kind,
        dies_after: usize,
    },
    /// A lease is over, or a retry's time has come.
    MessageComesDue {
        message: u32,
    },
    Begin {
        worker: usize,
        receipts: Vec<usize>,
    },
    RenewRows {
        worker: usize,
        held: Vec<usize>,
    },
    RenewMessages {
        worker: usize,
        receipts: Vec<usize>,
    },
    Conclude {
        worker: usize,
        ends: Vec<End>,
    },
    Settle {
        worker: usize,
        /// Receipts, and what becomes of their messages.
        settlements: Vec<(usize, Disposition)>,
    },
    RowLeaseEnds {
        order: usize,
    },
    /// The database's clock is put back, or its time zone repeats an hour: the row's fence lies in the future.
    ClockPutBack {
        order: usize,
    },
    /// Somebody else writes a status of their own.
    Cancel {
        order: usize,
    },
    /// Somebody else writes `pending`.
    Reinstate {
        order: usize,
    },
    /// Somebody deletes the row, or a failover loses it.
    RowVanishes {
        order: usize,
    },
    /// A reconciler puts in messages for orders, rightly or not.
    Requeue {
        orders: Vec<usize>,
    },
    InsertLetters {
        worker: usize,
        receipts: Vec<usize>,
        reason: DeadReason,
    },
    Redrive {
        letters: Vec<usize>,
    },
    Resolve {
        letters: Vec<usize>,
        resolution: Resolution,
    },
}

/// How an attempt ends: for whom, and where to.
#[derive(Debug, Clone)]
pub struct End {
    pub held: usize,
    pub to: State,
    pub maybe_applied: bool,
}

impl World {
    /// Every step that makes sense here.
    pub fn steps(&self) -> BoxedStrategy<Step> {
        // Cancelled orders come to life again by the order API alone.
        let kinds = select(vec![Kind::Cancel, Kind::Hold, Kind::Hold, Kind::Release, Kind::Release, Kind::Release]);
        let all: Vec<usize> = (0..ORDERS).collect();
        let decide = (kinds, subsequence(all, 1..=ORDERS)).prop_map(|(kind, orders)| Step::Decide { kind, orders });
        let job = (select(vec![Kind::Cancel, Kind::Hold, Kind::Hold]), 0..=ORDERS)
            .prop_map(|(kind, dies_after)| Step::Job { kind, dies_after });
        let mut steps: Vec<(u32, BoxedStrategy<Step>)> = vec![
            (
                8,
                (0..WORKERS, select(vec![1, 2, ALL])).prop_map(|(worker, limit)| Step::Claim { worker, limit }).boxed(),
            ),
            (1, any::<bool>().prop_map(|takes_leased| Step::ReturnToList { takes_leased }).boxed()),
            (1, (0..ORDERS).prop_map(|order| Step::Cancel { order }).boxed()),
            (1, (0..ORDERS).prop_map(|order| Step::Reinstate { order }).boxed()),
            (3, (0..ORDERS).prop_map(|order| Step::RowLeaseEnds { order }).boxed()),
            (3, decide.boxed()),
            (1, job.boxed()),
            (1, (0..ORDERS).prop_map(|order| Step::ClockPutBack { order }).boxed()),
            (1, (0..ORDERS).prop_map(|order| Step::RowVanishes { order }).boxed()),
        ];
        if self.queue.messages().len() < MOST_MESSAGES {
            let orders = |last: usize| batch((0..last).collect());
            steps.push((6, orders(ORDERS + 1).prop_map(|orders| Step::Push { orders }).boxed()));
            steps.push((2, orders(ORDERS).prop_map(|orders| Step::Requeue { orders }).boxed()));
        }
        if self.loses_answers {
            let lose = (0..WORKERS, select(vec![1, ALL])).prop_map(|(worker, limit)| Step::LoseClaim { worker, limit });
            steps.push((1, lose.boxed()));
        }
        if !self.unanswered.is_empty() {
            steps.push((3, (0..WORKERS).prop_map(|worker| Step::HandBack { worker }).boxed()));
        }
        let numbers = self.queue.messages().iter().map(|message| message.number);
        let scheduled: Vec<u32> = numbers.filter(|number| self.queue.is_scheduled(*number)).collect();
        if !scheduled.is_empty() {
            steps.push((6, select(scheduled).prop_map(|message| Step::MessageComesDue { message }).boxed()));
        }
        for worker in 0..WORKERS {
            self.add_steps_of(worker, &mut steps);
        }
        if !self.store.letters.is_empty() {
            let letters = || batch((0..self.store.letters.len()).collect());
            let resolution = select(vec![Resolution::Retried, Resolution::Discarded]);
            steps.push((2, letters().prop_map(|letters| Step::Redrive { letters }).boxed()));
            steps.push((
                2,
                (letters(), resolution).prop_map(|(letters, resolution)| Step::Resolve { letters, resolution }).boxed(),
            ));
        }
        Union::new_weighted(steps).boxed()
    }

    fn add_steps_of(&self, worker: usize, steps: &mut Vec<(u32, BoxedStrategy<Step>)>) {
        let of_worker = |number: &usize| self.receipts[*number].0 == worker;
        let receipts: Vec<usize> = (0..self.receipts.len()).filter(of_worker).collect();
        if receipts.is_empty() {
            return;
        }
        let receipts = preferring(receipts, |number| self.queue.is_valid(&self.receipts[*number].1));
        let some = || batch(receipts.clone());
        let disposition = prop_oneof![
            Just(Disposition::Ack),
            (select(vec![Duration::ZERO, LATER]), any::<bool>())
                .prop_map(|(after, spent)| Disposition::Retry { after, spent }),
        ];
        let settlements = prop::collection::vec((select(receipts.clone()), disposition), 1..=LARGEST_BATCH);
        let reason = select(vec![DeadReason::UnknownOrder, DeadReason::StoreRefused]);
        steps.extend([
            (6, some().prop_map(move |receipts| Step::Begin { worker, receipts }).boxed()),
            (2, some().prop_map(move |receipts| Step::RenewMessages { worker, receipts }).boxed()),
            (4, settlements.prop_map(move |settlements| Step::Settle { worker, settlements }).boxed()),
            (
                1,
                (some(), reason)
                    .prop_map(move |(receipts, reason)| Step::InsertLetters { worker, receipts, reason })
                    .boxed(),
            ),
        ]);
        let held: Vec<usize> = (0..self.held.len()).filter(|number| self.held[*number].worker == worker).collect();
        if held.is_empty() {
            return;
        }
        let held = preferring(held, |number| self.is_held(&self.held[*number]));
        let to = select(vec![State::Fulfilled, State::Pending, State::Failed, State::Failed]);
        let end = (select(held.clone()), to, prop::bool::weighted(0.2));
        let end = end.prop_map(|(held, to, maybe_applied)| End { held, to, maybe_applied });
        let ends = prop::collection::vec(end, 1..=LARGEST_BATCH);
        steps.extend([
            (2, batch(held).prop_map(move |held| Step::RenewRows { worker, held }).boxed()),
            (6, ends.prop_map(move |ends| Step::Conclude { worker, ends }).boxed()),
        ]);
    }

    /// Whether a step makes sense here: what it names is there, and is its worker's.
    pub fn admits(&self, step: &Step) -> bool {
        let own_receipt = |worker: &usize, number: &usize| {
            self.receipts.get(*number).is_some_and(|(claimed_by, _)| claimed_by == worker)
        };
        let own_row =
            |worker: &usize, number: &usize| self.held.get(*number).is_some_and(|held| held.worker == *worker);
        let is = |order: usize, states: &[State]| self.store.row(order).is_some_and(|row| states.contains(&row.state));
        let unanswered = |worker: &usize| self.unanswered.iter().any(|(claimed_by, _)| claimed_by == worker);
        match step {
            Step::Push { .. } | Step::Requeue { .. } => self.queue.messages().len() < MOST_MESSAGES,
            // What comes back then comes in any order.
            Step::Claim { worker, limit } => *limit == ALL || !(unanswered(worker) || self.queue.is_unordered()),
            // One that finds nothing would be remembered by the worker alone, and delay its next claim.
            Step::LoseClaim { worker, limit } => {
                let finds_some = !self.queue.claimable().is_empty();
                finds_some && !unanswered(worker) && (*limit == ALL || !self.queue.is_unordered())
            }
            Step::ReturnToList { .. } => true,
            Step::HandBack { worker } => unanswered(worker),
            Step::MessageComesDue { message } => self.queue.is_scheduled(*message),
            Step::Begin { worker, receipts }
            | Step::RenewMessages { worker, receipts }
            | Step::InsertLetters { worker, receipts, .. } => receipts.iter().all(|number| own_receipt(worker, number)),
            Step::Settle { worker, settlements } => settlements.iter().all(|(number, _)| own_receipt(worker, number)),
            Step::RenewRows { worker, held } => held.iter().all(|number| own_row(worker, number)),
            Step::Conclude { worker, ends } => ends.iter().all(|end| own_row(worker, &end.held)),
            Step::RowLeaseEnds { order } => is(*order, &[State::Processing]) && !self.store.is_lapsed(*order),
            Step::ClockPutBack { order } => is(*order, &[State::Processing]),
            Step::Cancel { order } => is(*order, &[State::Pending, State::Processing]),
            Step::Reinstate { order } => is(*order, &[State::Cancelled]),
            Step::RowVanishes { order } => self.store.row(*order).is_some(),
            Step::Decide { orders, .. } => orders.iter().all(|order| *order < ORDERS),
            Step::Job { .. } => !self.pending().is_empty(),
            Step::Redrive { letters } | Step::Resolve { letters, .. } => {
                letters.iter().all(|letter| *letter < self.store.letters.len())
            }
        }
    }
}

/// Some of these, repetitions among them.
fn batch(of: Vec<usize>) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(select(of), 1..=LARGEST_BATCH)
}

fn preferring(all: Vec<usize>, preferred: impl Fn(&usize) -> bool) -> Vec<usize> {
    let repeated: Vec<usize> = all.iter().copied().filter(preferred).collect();
    all.into_iter().chain(repeated.repeat(PREFERENCE)).collect()
}
