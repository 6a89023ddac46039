//! One moment of the whole system: rows and messages, the attempts of the workers, and what the warehouse has seen.

use std::hash::{Hash, Hasher};

use fulfillment_model::{Message, Place, Queue, Receipt, Store};
use fulfillment_worker::domain::order::{Fence, State};
use fulfillment_worker::engine::decision::AttemptOutcome;
use fulfillment_worker::event::RetryReason;

/// How many workers there are.
pub(crate) const WORKERS: usize = 2;
/// How many orders a worker may have in hand. Each is in a slot of the worker's: slots go by number, a worker's beside each other.
pub(crate) const HANDS: usize = 2;
pub(crate) const SLOTS: usize = WORKERS * HANDS;
/// How many orders there are, at most.
pub(crate) const ORDERS: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) witnesses: [Witness; ORDERS],
    /// By slot; `None` where nothing is in hand.
    pub(crate) attempts: [Option<Attempt>; SLOTS],
    /// Which order a reconciler without a guard found abandoned and is about to reset.
    pub(crate) about_to_reset: Option<usize>,
    /// Whether what was given up for want of a place is told from all else that goes back: only without
    /// [`Guard::NoCallOnceGivenUp`](crate::setting::Guard::NoCallOnceGivenUp) does it matter.
    pub(crate) tells_given_up: bool,
    /// Faults so far, counted only where they are limited.
    pub(crate) faults: u8,
    /// The promise that the last step broke. Nothing happens after it.
    pub(crate) broken: Option<Promise>,
}

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// A final row was written.
    FinalWritten,
    /// A final row was given another state.
    FinalChanged,
    /// A row was written without its fence moving forward.
    FenceStood,
    /// A worker ended the attempt of another one.
    StaleWrite,
    /// A message was acknowledged before its order's row was final.
    AcknowledgedEarly,
    /// A worker called for an order while another one's call was under way and well within its lease.
    LiveWorkRepeated,
    /// A warehouse that honours keys did the work twice.
    DoneTwice,
    /// Parking, and a call was made although an earlier one may have been carried out.
    CalledTwice,
    /// A worker that has one place called for two orders at a time.
    CalledWithoutPlace,
    /// A message was put back while its order's row was still in the name of who put it back: nobody could take it.
    PutBackHeld,
    /// An order was begun that was held at the time.
    HeldBegun,
    /// A message was acknowledged whose order's row was gone before the order had ended, and no letter tells of it.
    GoneUntold,
    /// A worker had an order in hand whose row was gone, and its letter doesn't say so.
    GoneUnnamed,
}

/// What really happened to an order. Workers can't read it: it is here to judge them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Witness {
    /// The slot of the attempt that the row is in.
    pub(crate) holder: Option<usize>,
    /// Bit n: the warehouse has done the work under the order's n-th key.
    pub(crate) done_under: u8,
    /// Calls that may have been carried out, at most 2.
    pub(crate) doubtful_calls: u8,
}

/// What a worker does with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) receipt: Receipt,
    pub(crate) phase: Phase,
    /// The fence it believes to hold.
    pub(crate) fence: Option<Fence>,
    /// An earlier request to conclude this attempt got no answer.
    pub(crate) maybe_applied: bool,
    /// Whether its row's lease has run out since it began or renewed last.
    pub(crate) outlived: bool,
    /// Whether it found its row to be lost, and is to find out whether that is gone.
    pub(crate) lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Has a message.
    Claimed,
    /// Has the row, and waits for the place of its call, if it was claimed ahead; nothing was sent.
    Begun { takeover: bool },
    /// The request is sent. `done` says whether the warehouse did the work.
    Calling { done: bool },
    /// Knows how the attempt ends.
    Ended(AttemptOutcome),
    /// It is written; the message is to be settled.
    Concluded(AttemptOutcome),
}

impl Phase {
    /// Whether the order was given up for want of a place, and its message is not back yet.
    pub(crate) fn is_given_up(&self) -> bool {
        let (Self::Ended(outcome) | Self::Concluded(outcome)) = self else { return false };
        matches!(outcome, AttemptOutcome::Retry { reason: RetryReason::NoPlace, .. })
    }
}

/// The state that an outcome writes. Like the next one it stands for a match in the engine's delivery, which needs one of
/// the engine's deliveries.
pub(crate) fn target(outcome: &AttemptOutcome) -> Option<State> {
    match outcome {
        AttemptOutcome::Fulfilled { .. } => Some(State::Fulfilled),
        AttemptOutcome::Retry { .. } => Some(State::Pending),
        AttemptOutcome::DeadLetter { .. } => Some(State::Failed),
        AttemptOutcome::AlreadyFinal | AttemptOutcome::Skipped { .. } => None,
    }
}

/// Whether the message goes back to the queue, and if so, whether an attempt is spent.
pub(crate) fn goes_back(outcome: &AttemptOutcome) -> Option<bool> {
    if let AttemptOutcome::Retry { spent, .. } = outcome { Some(*spent) } else { None }
}

/// Whether no worker may ever write such a row again.
pub(crate) fn is_over(state: &State) -> bool {
    state.is_final() || matches!(state, State::Foreign(_))
}

impl World {
    pub(crate) fn holds_receipt(&self, slot: usize) -> bool {
        self.attempts[slot].as_ref().is_some_and(|attempt| self.queue.is_valid(&attempt.receipt))
    }

    /// Whether anybody is told that the order failed, or is lost.
    pub(crate) fn has_letter(&self, order: usize) -> bool {
        self.store.letters.iter().any(|letter| letter.order == order)
    }

    pub(crate) fn messages_of(&self, order: usize) -> impl Iterator<Item = &Message> {
        self.queue.messages().iter().filter(move |message| message.order == order)
    }

    /// What the worker of a slot has in hand, that slot included.
    pub(crate) fn in_hand(&self, slot: usize) -> impl Iterator<Item = usize> {
        let first = slot - slot % HANDS;
        (first..first + HANDS).filter(|slot| self.attempts[*slot].is_some())
    }

    /// Whether the one place of a slot's worker is another order's.
    pub(crate) fn place_is_taken(&self, slot: usize) -> bool {
        let calls = |other: &usize| {
            let phase = self.attempts[*other].as_ref().map(|attempt| &attempt.phase);
            *other != slot && matches!(phase, Some(Phase::Calling { .. }))
        };
        self.in_hand(slot).any(|other| calls(&other))
    }

    /// The smallest of the numbers that stand for this world with its workers, what each has in hand, its orders and each
    /// order's messages in any order. Of fences only the sequence counts.
    fn canonical(&self) -> u128 {
        let mut least = u128::MAX;
        for orders in [[0, 1], [1, 0]] {
            for [first, second] in [[0, 1], [1, 0]] {
                for first_hands in self.hands(first) {
                    for second_hands in self.hands(second) {
                        let slots = [first_hands[0], first_hands[1], second_hands[0], second_hands[1]];
                        least = least.min(self.packed(orders, slots));
                    }
                }
            }
        }
        least
    }

    /// The slots of a worker in each sequence that has to be tried: what is empty comes last.
    fn hands(&self, worker: usize) -> impl Iterator<Item = [usize; HANDS]> {
        let [first, second] = [worker * HANDS, worker * HANDS + 1];
        let [has_first, has_second] = [first, second].map(|slot| self.attempts[slot].is_some());
        let ways = [(has_first || !has_second, [first, second]), (has_second, [second, first])];
        ways.into_iter().filter_map(|(is_tried, slots)| is_tried.then_some(slots))
    }

    /// `orders` is its own inverse: it tells which one comes at a place, and at which place one comes. `slots` tells the first.
    fn packed(&self, orders: [usize; ORDERS], slots: [usize; SLOTS]) -> u128 {
        let mut place_of = [0; SLOTS];
        slots.iter().enumerate().for_each(|(place, slot)| place_of[*slot] = place);
        let mut bits = Bits(0);
        for order in orders {
            let Some(row) = self.store.rows.get(order) else {
                bits.push(0, 31);
                continue;
            };
            let Witness { holder, done_under, doubtful_calls } = self.witnesses[order];
            bits.push(packed_state(&row.state), 3);
            bits.push(self.rank(order, row.fence), 3);
            bits.push(self.store.is_lapsed(order).into(), 1);
            bits.push(holder.map_or(SLOTS, |holder| place_of[holder]) as u128, 3);
            bits.push(done_under.into(), 4);
            bits.push(doubtful_calls.into(), 2);
            bits.push(self.store.held.contains(&order).into(), 1);
            bits.push(self.store.gone.contains(&order).into(), 1);
            bits.push(self.has_letter(order).into(), 1);
            let mut messages = [0; 2];
            for (packed, message) in messages.iter_mut().zip(self.messages_of(order)) {
                *packed = self.packed_message(message, place_of);
            }
            messages.sort_unstable();
            messages.into_iter().for_each(|message| bits.push(message, 6));
        }
        for slot in slots {
            let Some(Attempt { receipt, phase, fence, maybe_applied, outlived, lost }) = &self.attempts[slot] else {
                bits.push(0, 13);
                continue;
            };
            let is_told = self.tells_given_up && phase.is_given_up();
            bits.push(packed_phase(phase) + if is_told { GIVEN_UP } else { 0 }, 5);
            bits.push(orders[receipt.order] as u128, 1);
            // Which message is its own, if one is, the message says.
            bits.push(receipt.attempt.into(), 2);
            let without_fence = if *lost { LOST } else { NO_FENCE };
            bits.push(fence.map_or(without_fence, |fence| self.rank(receipt.order, fence)), 3);
            bits.push((*maybe_applied).into(), 1);
            bits.push((*outlived).into(), 1);
        }
        bits.push(self.about_to_reset.map_or(0, |order| 1 + orders[order] as u128), 2);
        bits.push(self.faults.into(), 4);
        bits.push(self.broken.map_or(0, |promise| 1 + promise as u128), 4);
        bits.0
    }

    fn packed_message(&self, message: &Message, place_of: [usize; SLOTS]) -> u128 {
        let holds = |slot: &usize| {
            let receipt = self.attempts[*slot].as_ref().map(|attempt| attempt.receipt);
            receipt.is_some_and(|receipt| (receipt.message, receipt.delivery) == (message.number, message.delivery))
        };
        let place = match message.place {
            Place::Leased { due } => {
                // Held by none where a claim's answer got lost or its worker died.
                let holder = (0..SLOTS).find(holds).map_or(SLOTS, |holder| place_of[holder]);
                2 + 2 * holder + usize::from(due.is_some())
            }
            Place::Waiting | Place::Retrying { .. } => 1,
        };
        (place as u128) << 2 | u128::from(message.attempts)
    }

    /// How many different fences that anything knows of this order are below this one.
    fn rank(&self, order: usize, fence: Fence) -> u128 {
        let mut known = [self.store.rows[order].fence; 1 + SLOTS];
        for (known, attempt) in known[1..].iter_mut().zip(&self.attempts) {
            if let Some(Attempt { receipt, fence: Some(held), .. }) = attempt
                && receipt.order == order
            {
                *known = *held;
            }
        }
        known.sort_unstable();
        let is_another = |(place, known_fence): (usize, &Fence)| {
            *known_fence < fence && (place == 0 || known[place - 1] != *known_fence)
        };
        known.iter().enumerate().filter(|&known| is_another(known)).count() as u128
    }
}

fn packed_state(state: &State) -> u128 {
    match state {
        State::Pending => 1,
        State::Processing => 2,
        State::Fulfilled => 3,
        State::Failed => 4,
        State::Foreign(_) => 5,
        State::Cancelled => 6,
    }
}

/// More than any rank of a fence.
const LOST: u128 = 6;
const NO_FENCE: u128 = 7;

/// More than any phase.
const GIVEN_UP: u128 = 16;

fn packed_phase(phase: &Phase) -> u128 {
    match phase {
        Phase::Claimed => 1,
        Phase::Begun { takeover } => 2 + u128::from(*takeover),
        Phase::Calling { done } => 4 + u128::from(*done),
        Phase::Ended(AttemptOutcome::Fulfilled { .. }) => 6,
        Phase::Ended(AttemptOutcome::Retry { spent, .. }) => 7 + u128::from(*spent),
        Phase::Ended(AttemptOutcome::DeadLetter { .. }) => 9,
        Phase::Ended(AttemptOutcome::AlreadyFinal | AttemptOutcome::Skipped { .. }) => 10,
        Phase::Concluded(outcome) => 11 + goes_back(outcome).map_or(0, |spent| 1 + u128::from(spent)),
    }
}

struct Bits(u128);

impl Bits {
    fn push(&mut self, value: u128, width: u32) {
        debug_assert!(value >> width == 0, "{value} needs more than {width} bits");
        self.0 = self.0 << width | value;
    }
}

/// Worlds that differ in names alone are one to the search.
impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u128(self.canonical());
    }
}
