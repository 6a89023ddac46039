//! What the model remembers: the orders' rows, their messages, what the warehouse has seen, and what each worker has
//! in hand.

use std::hash::{Hash, Hasher};

use fulfillment_worker::domain::order::State as RowState;

/// How many workers there are.
pub(crate) const WORKERS: usize = 2;
/// How many orders there are, at most.
pub(crate) const ORDERS: usize = 2;
/// How many messages may speak for one order at a time, at most.
pub(crate) const SLOTS: usize = 2;

/// One moment of the whole system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) orders: [Order; ORDERS],
    pub(crate) workers: [Worker; WORKERS],
    /// Which order a reconciler without a guard found abandoned and is about to reset.
    pub(crate) about_to_reset: Option<usize>,
    /// Faults so far, counted only where they are limited.
    pub(crate) faults: u8,
    /// The promise that the last step broke. Nothing happens after it.
    pub(crate) broken: Option<Promise>,
}

/// What is never to happen.
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) status: Status,
    pub(crate) fence: u8,
    /// Whether `updated_at` is longer ago than the lease.
    pub(crate) lapsed: bool,
    /// The worker whose attempt the row is in. Nobody can read it: it is here to tell who writes.
    pub(crate) holder: Option<usize>,
    /// Bit n: the warehouse has done the work under the order's n-th key.
    pub(crate) done_under: u8,
    /// Calls that may have been carried out, at most 2.
    pub(crate) doubtful_calls: u8,
    pub(crate) messages: [Option<Message>; SLOTS],
}

/// `orders.status`, small enough to be kept by the million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Processing,
    Fulfilled,
    Failed,
    Cancelled,
}

impl Status {
    pub(crate) fn row_state(self) -> RowState {
        match self {
            Self::Pending => RowState::Pending,
            Self::Processing => RowState::Processing,
            Self::Fulfilled => RowState::Fulfilled,
            Self::Failed => RowState::Failed,
            Self::Cancelled => RowState::Foreign("cancelled".to_owned()),
        }
    }

    pub(crate) fn of(state: &RowState) -> Self {
        match state {
            RowState::Pending => Self::Pending,
            RowState::Processing => Self::Processing,
            RowState::Fulfilled => Self::Fulfilled,
            RowState::Failed => Self::Failed,
            RowState::Foreign(_) => Self::Cancelled,
        }
    }

    /// Whether no worker may ever write the row again.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Fulfilled | Self::Failed | Self::Cancelled)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    /// Counted when claimed; one more than the policy allows stands for all beyond.
    pub(crate) attempts: u8,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// To be claimed: new, due for its retry, or handed back.
    Waiting,
    /// Under a lease. `holder` has the receipt; nobody has it when a claim's answer got lost or its worker died.
    Leased { holder: Option<usize>, lapsed: bool },
}

/// A worker, and the message in its hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) phase: Phase,
    pub(crate) order: usize,
    pub(crate) slot: usize,
    pub(crate) attempt: u8,
    /// The fence it believes to hold.
    pub(crate) fence: Option<u8>,
    /// An earlier request to conclude this attempt got no answer.
    pub(crate) maybe_applied: bool,
    /// Whether its row's lease has run out since it began or renewed last.
    pub(crate) outlived: bool,
}

impl Worker {
    pub(crate) const IDLE: Self =
        Self { phase: Phase::Idle, order: 0, slot: 0, attempt: 0, fence: None, maybe_applied: false, outlived: false };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    /// Has a message.
    Claimed,
    /// Has the row; nothing was sent.
    Begun,
    /// The request is sent.
    Calling {
        /// Whether the warehouse did the work.
        done: bool,
    },
    /// Knows what is to be written.
    Ended(Ending),
    /// It is written; the message is to be let go of.
    Concluded(Disposition),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Fulfilled,
    Retry {
        spent: bool,
    },
    Dead,
    /// Nothing to write: the row is final or somebody else's.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Ack,
    Retry { spent: bool },
}

impl World {
    pub(crate) fn holds_receipt(&self, worker: usize) -> bool {
        let Worker { order, slot, .. } = self.workers[worker];
        let place = self.orders[order].messages[slot].map(|message| message.place);
        matches!(place, Some(Place::Leased { holder: Some(holder), .. }) if holder == worker)
    }

    /// The smallest of the numbers that stand for this world with its workers, its orders and each order's messages
    /// in any order. Of fences only the sequence counts.
    pub(crate) fn canonical(&self) -> u128 {
        let mut least = u128::MAX;
        for orders in [[0, 1], [1, 0]] {
            for workers in [[0, 1], [1, 0]] {
                least = least.min(self.packed(orders, workers));
            }
        }
        least
    }

    fn packed(&self, orders: [usize; ORDERS], workers: [usize; WORKERS]) -> u128 {
        let mut bits = Bits(0);
        let mut swapped = [false; ORDERS];
        // Both lists are their own inverses: they tell which one comes at a place, and at which place one comes.
        for order in orders {
            let row = &self.orders[order];
            bits.push(row.status as u128, 3);
            bits.push(self.rank(order, row.fence), 2);
            bits.push(u128::from(row.lapsed), 1);
            bits.push(row.holder.map_or(3, |holder| workers[holder] as u128), 2);
            bits.push(u128::from(row.done_under), 4);
            bits.push(u128::from(row.doubtful_calls), 2);
            let (first, second) = (packed_message(row.messages[0], workers), packed_message(row.messages[1], workers));
            swapped[order] = first > second;
            bits.push(first.min(second), 6);
            bits.push(first.max(second), 6);
        }
        for worker in workers {
            let Worker { phase, order, slot, attempt, fence, maybe_applied, outlived } = self.workers[worker];
            if phase == Phase::Idle {
                bits.push(0, 17);
                continue;
            }
            bits.push(packed_phase(phase), 4);
            bits.push(orders[order] as u128, 1);
            // A receipt that is not valid never becomes so again.
            let receipt = if self.holds_receipt(worker) { 1 + (slot ^ usize::from(swapped[order])) } else { 0 };
            bits.push(receipt as u128, 2);
            bits.push(u128::from(attempt), 3);
            bits.push(fence.map_or(7, |fence| self.rank(order, fence)), 3);
            bits.push(u128::from(maybe_applied), 1);
            bits.push(u128::from(outlived), 3);
        }
        bits.push(self.about_to_reset.map_or(0, |order| 1 + orders[order] as u128), 2);
        bits.push(u128::from(self.faults), 4);
        bits.push(self.broken.map_or(0, |promise| 1 + promise as u128), 4);
        bits.0
    }

    /// How many different fences that anybody knows of this order are below this one.
    fn rank(&self, order: usize, fence: u8) -> u128 {
        let mut known = [self.orders[order].fence; 1 + WORKERS];
        for worker in 0..WORKERS {
            if let Worker { order: of, fence: Some(held), .. } = self.workers[worker]
                && of == order
            {
                known[1 + worker] = held;
            }
        }
        let [row, first, second] = known;
        u128::from(row < fence)
            + u128::from(first < fence && first != row)
            + u128::from(second < fence && second != row && second != first)
    }
}

fn packed_message(message: Option<Message>, workers: [usize; WORKERS]) -> u128 {
    let Some(Message { attempts, place }) = message else { return 0 };
    let place = match place {
        Place::Waiting => 1,
        Place::Leased { holder, lapsed } => 2 + 2 * holder.map_or(2, |holder| workers[holder]) + usize::from(lapsed),
    };
    (place as u128) << 2 | u128::from(attempts)
}

fn packed_phase(phase: Phase) -> u128 {
    match phase {
        Phase::Idle => 0,
        Phase::Claimed => 1,
        Phase::Begun => 2,
        Phase::Calling { done } => 3 + u128::from(done),
        Phase::Ended(Ending::Fulfilled) => 5,
        Phase::Ended(Ending::Retry { spent }) => 6 + u128::from(spent),
        Phase::Ended(Ending::Dead) => 8,
        Phase::Ended(Ending::Over) => 9,
        Phase::Concluded(Disposition::Ack) => 10,
        Phase::Concluded(Disposition::Retry { spent }) => 11 + u128::from(spent),
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
