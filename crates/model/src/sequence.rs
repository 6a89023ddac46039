//! Random sequences of everything that may happen to a queue and a store together, and what each step must be answered.
//!
//! Workers, orders, messages, receipts and held rows go by number, in the order in which they came to be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use fulfillment_worker::domain::dead_letter::RetryStep;
use fulfillment_worker::domain::order::{Fence, State};
use fulfillment_worker::port::queue::Disposition;
use fulfillment_worker::port::store::{Begun, Renewed, Verdict};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use crate::{Queue, Receipt, Store, Transition};

mod steps;

pub use steps::{End, Kind, Step};

pub const WORKERS: usize = 3;
/// Orders with a row. Messages may name one more, which has none.
pub const ORDERS: usize = 3;
/// As many messages as a claim may take, when it takes all.
pub const ALL: usize = 1_000;
/// The delay of a retry that doesn't come at once. It ends when a step says so.
pub const LATER: Duration = Duration::from_secs(3_600);
/// How long a worker may leave its row as it is.
pub const ROW_LEASE: Duration = Duration::from_secs(600);

/// A row as a worker was given it. It stays as it is when the row has moved on.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub worker: usize,
    pub order: usize,
    pub fence: Fence,
    /// Number of the receipt that it was begun with.
    pub receipt: usize,
}

/// What a step must be answered. By position where there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    /// Message and attempt, in this order; and when there is more.
    Claimed(Vec<(u32, u32)>, NextDue),
    /// The answer gets lost.
    Lost,
    Begun(Vec<Begun>),
    Renewed(Vec<Renewed>),
    Concluded(Vec<Verdict>),
    /// Whether each receipt was valid.
    Valid(Vec<bool>),
    Requeued(usize),
    Returned(usize),
    Redriven(Vec<RetryStep>),
    Resolved(Vec<bool>),
    /// With the state that was found, if there is a row.
    Decided(Vec<(Became, Option<State>)>),
    /// How many orders a job counts as decided about, and how many as none of its own.
    Worked(u64, u64),
}

/// What became of an operator's decision about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    Done,
    AsItWas,
    OrderIs,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextDue {
    Now,
    Later,
    Never,
}

/// Queue and store, and what workers were given of them.
#[derive(Debug, Clone)]
pub struct World {
    pub store: Store,
    pub queue: Queue,
    /// Each with its worker.
    pub receipts: Vec<(usize, Receipt)>,
    pub held: Vec<Held>,
    /// Worker and receipt, of claims whose answers got lost and that nothing has made up for yet.
    unanswered: Vec<(usize, Receipt)>,
    pub answer: Answer,
    /// Whether an answer can get lost on its way from this queue.
    loses_answers: bool,
    /// Messages of each order that were put in for lost ones, and are gone again.
    requeued: BTreeMap<usize, u32>,
    /// By which job each order is held, or was last; 0 for what was decided about it alone.
    held_by: BTreeMap<usize, u32>,
    jobs: u32,
}

/// Worlds, steps from each, and a counter that the test raises with each step that it takes.
pub fn sequences(
    loses_answers: bool,
    most_steps: usize,
) -> BoxedStrategy<(World, Vec<Step>, Option<Arc<AtomicUsize>>)> {
    if loses_answers {
        Machine::<true>::sequential_strategy(1..=most_steps).boxed()
    } else {
        Machine::<false>::sequential_strategy(1..=most_steps).boxed()
    }
}

struct Machine<const LOSES_ANSWERS: bool>;

impl<const LOSES_ANSWERS: bool> ReferenceStateMachine for Machine<LOSES_ANSWERS> {
    type State = World;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<World> {
        Just(World::new(LOSES_ANSWERS)).boxed()
    }

    fn transitions(world: &World) -> BoxedStrategy<Step> {
        world.steps()
    }

    fn apply(mut world: World, step: &Step) -> World {
        world.take(step);
        world
    }

    fn preconditions(world: &World, step: &Step) -> bool {
        world.admits(step)
    }
}

impl World {
    pub fn new(loses_answers: bool) -> Self {
        Self {
            store: Store::pending(ORDERS, ROW_LEASE),
            queue: Queue::default(),
            receipts: Vec::new(),
            held: Vec::new(),
            unanswered: Vec::new(),
            answer: Answer::Nothing,
            loses_answers,
            requeued: BTreeMap::new(),
            held_by: BTreeMap::new(),
            jobs: 0,
        }
    }

    /// Takes a step, and leaves what it must be answered in [`World::answer`].
    pub fn take(&mut self, step: &Step) {
        let Self { store, queue, .. } = self;
        self.answer = match step {
            Step::Push { orders } => {
                orders.iter().for_each(|&order| queue.push(order));
                Answer::Nothing
            }
            Step::Claim { worker, limit } => {
                let claimed = self.claim(*worker, *limit);
                self.receipts.extend(claimed.iter().map(|receipt| (*worker, *receipt)));
                let next = match (self.queue.claimable().is_empty(), self.queue.messages().is_empty()) {
                    (false, _) => NextDue::Now,
                    (true, false) => NextDue::Later,
                    (true, true) => NextDue::Never,
                };
                Answer::Claimed(claimed.iter().map(|receipt| (receipt.message, receipt.attempt)).collect(), next)
            }
            Step::LoseClaim { worker, limit } => {
                let claimed = self.claim(*worker, *limit);
                self.unanswered.extend(claimed.into_iter().map(|receipt| (*worker, receipt)));
                Answer::Lost
            }
            Step::HandBack { worker } => {
                self.hand_back(*worker);
                Answer::Nothing
            }
            Step::ReturnToList { takes_leased } => {
                let returned = queue.hand_back(*takes_leased);
                for message in returned.iter().filter(|message| message.requeued_as.is_some()) {
                    *self.requeued.entry(message.order).or_default() += 1;
                }
                Answer::Returned(returned.len())
            }
            Step::MessageComesDue { message } => {
                queue.come_due(*message);
                Answer::Nothing
            }
            Step::Begin { receipts, .. } => Answer::Begun(receipts.iter().map(|&number| self.begin(number)).collect()),
            Step::RenewRows { held, .. } => Answer::Renewed(held.iter().map(|&held| self.renew_row(held)).collect()),
            Step::RenewMessages { receipts, .. } => {
                Answer::Valid(receipts.iter().map(|&number| queue.renew(&self.receipts[number].1)).collect())
            }
            Step::Conclude { ends, .. } => {
                let conclude = |end: &End| {
                    let held = self.held[end.held];
                    store.conclude(&self.receipts[held.receipt].1, held.fence, &end.to, end.maybe_applied)
                };
                Answer::Concluded(ends.iter().map(conclude).collect())
            }
            Step::Settle { settlements, .. } => {
                Answer::Valid(settlements.iter().map(|(receipt, how)| self.settle(*receipt, *how)).collect())
            }
            Step::RowLeaseEnds { order } => {
                store.end_lease(*order);
                Answer::Nothing
            }
            Step::ClockPutBack { order } => {
                store.put_clock_back(*order);
                Answer::Nothing
            }
            Step::Cancel { order } => {
                store.set_state(*order, State::from("cancelled"));
                Answer::Nothing
            }
            Step::Reinstate { order } => {
                store.set_state(*order, State::Pending);
                Answer::Nothing
            }
            Step::RowVanishes { order } => {
                store.gone.insert(*order);
                Answer::Nothing
            }
            Step::Requeue { orders } => {
                let requeue = |&&order: &&usize| {
                    let key = self.requeued.get(&order).copied().unwrap_or_default();
                    queue.requeue_lost(order, key, spent_before_requeue(order))
                };
                Answer::Requeued(orders.iter().filter(requeue).count())
            }
            Step::InsertLetters { receipts, reason, .. } => {
                receipts.iter().for_each(|&number| store.insert_letter(&self.receipts[number].1, *reason));
                Answer::Nothing
            }
            Step::Decide { kind, orders } => {
                Answer::Decided(orders.iter().map(|&order| self.decide(*kind, order, 0)).collect())
            }
            Step::Job { kind, dies_after } => self.work_off(*kind, *dies_after),
            Step::Redrive { letters } => Answer::Redriven(store.redrive(letters)),
            Step::Resolve { letters, resolution } => {
                Answer::Resolved(letters.iter().map(|&letter| store.resolve(letter, *resolution)).collect())
            }
        };
    }

    fn claim(&mut self, worker: usize, limit: usize) -> Vec<Receipt> {
        self.hand_back(worker);
        let claimable = self.queue.claimable();
        claimable.into_iter().take(limit).filter_map(|message| self.queue.claim(message)).collect()
    }

    /// What this worker claimed without learning of it can be claimed again, and the attempt was none.
    fn hand_back(&mut self, worker: usize) {
        for (_, receipt) in self.unanswered.extract_if(.., |(claimed_by, _)| *claimed_by == worker) {
            self.queue.settle(&receipt, Disposition::Retry { after: Duration::ZERO, spent: false });
        }
    }

    fn begin(&mut self, number: usize) -> Begun {
        let (worker, receipt) = self.receipts[number];
        let begun = self.store.begin(&receipt);
        if let Begun::Started { fence, .. } = begun {
            self.held.push(Held { worker, order: receipt.order, fence, receipt: number });
        }
        begun
    }

    /// The same once more changes nothing; `job` tells whose decision it is.
    fn decide(&mut self, kind: Kind, order: usize, job: u32) -> (Became, Option<State>) {
        let Some(state) = self.store.row(order).map(|row| row.state.clone()) else { return (Became::Unknown, None) };
        let is_held = self.store.held.contains(&order);
        let is_open = matches!(state, State::Pending | State::Processing);
        let last = self.store.written.iter().rfind(|entry| entry.order == order && entry.attempt.is_some());
        let attempt = last.filter(|last| last.to == state).and_then(|last| last.attempt).or(Some(0));
        match kind {
            Kind::Cancel if self.store.cancel(order) => {}
            Kind::Cancel if state == State::Cancelled => return (Became::AsItWas, Some(state)),
            Kind::Hold if is_held && is_open && self.held_by[&order] == job => {}
            Kind::Hold if is_open => {
                self.store.hold(order);
                self.held_by.insert(order, job);
                self.note(order, attempt, state == State::Pending);
            }
            Kind::Release if is_held => {
                self.store.release(order);
                if is_open {
                    self.note(order, attempt, false);
                }
            }
            Kind::Release => return (Became::AsItWas, Some(state)),
            Kind::Cancel | Kind::Hold => return (Became::OrderIs, Some(state)),
        }
        (Became::Done, Some(state))
    }

    /// An entry of the timeline, of a row that the decision has `moved`, or left as it is.
    fn note(&mut self, order: usize, attempt: Option<u32>, moved: bool) {
        if moved {
            // The store wrote it, and knows no attempts.
            if let Some(last) = self.store.written.last_mut() {
                last.attempt = attempt;
            }
        } else {
            let from = self.store.rows[order].clone();
            let (to, fence) = (from.state.clone(), from.fence);
            self.store.written.push(Transition { order, from, to, fence, attempt });
        }
    }

    /// The page is decided about again, and what was decided before is the job's own.
    fn work_off(&mut self, kind: Kind, dies_after: usize) -> Answer {
        self.jobs += 1;
        let job = self.jobs;
        let page = self.pending();
        for &order in page.iter().take(dies_after) {
            self.decide(kind, order, job);
        }
        let decided = page.iter().filter(|&&order| self.decide(kind, order, job).0 != Became::OrderIs);
        let done = decided.count();
        Answer::Worked(done as u64, (page.len() - done) as u64)
    }

    /// Orders that are pending, newest first.
    pub fn pending(&self) -> Vec<usize> {
        let is_pending = |order: &usize| self.store.row(*order).is_some_and(|row| row.state == State::Pending);
        (0..ORDERS).rev().filter(is_pending).collect()
    }

    fn renew_row(&mut self, held: usize) -> Renewed {
        let held = self.held[held];
        let renewed = self.store.renew(held.order, held.fence);
        if let Renewed::Kept(fence) = renewed {
            self.held.push(Held { fence, ..held });
        }
        renewed
    }

    fn settle(&mut self, number: usize, disposition: Disposition) -> bool {
        let (_, receipt) = self.receipts[number];
        let requeued = self.queue.message(receipt.message).is_some_and(|message| message.requeued_as.is_some());
        let valid = self.queue.settle(&receipt, disposition);
        if valid && requeued && disposition == Disposition::Ack {
            *self.requeued.entry(receipt.order).or_default() += 1;
        }
        valid
    }

    /// Number and key of the message that stands for an order's lost one, as after [`Step::Requeue`].
    pub fn requeued_message(&self, order: usize) -> Option<(u32, String)> {
        let key = self.requeued.get(&order).copied().unwrap_or_default();
        let is_it = |message: &&crate::Message| message.order == order && message.requeued_as == Some(key);
        self.queue.messages().iter().find(is_it).map(|message| (message.number, format!("requeued-{order}-{key}")))
    }

    /// Whether a row is still as its holder left it.
    pub fn is_held(&self, held: &Held) -> bool {
        self.store.is_held(held.order, held.fence)
    }

    /// States entered, and attempts, as the timeline must have them.
    pub fn timeline(&self, order: usize) -> Vec<(&str, u32)> {
        let of_order = self.store.written.iter().filter(|transition| transition.order == order);
        of_order.filter_map(|transition| Some((transition.to.as_str(), transition.attempt?))).collect()
    }
}

/// Attempts that an order's requeued message begins with: different ones, so that each is seen to go on.
pub fn spent_before_requeue(order: usize) -> u32 {
    u32::try_from(order).unwrap_or_default()
}
