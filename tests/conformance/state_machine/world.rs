//! What queue and store must be like after each step, and what they must have answered: the protocol in its own words,
//! without a look at the code under test.
//!
//! Workers, orders, messages, receipts and fences go by number, in the order in which they came to be.

mod store;

use std::collections::BTreeMap;

use super::steps::{Settling, Step};

pub(super) const WORKERS: usize = 3;
/// Orders with a row. Messages may name one more, which has none.
pub(super) const ORDERS: usize = 3;
/// As many messages as a claim may take, when it takes all.
pub(super) const ALL: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    Processing,
    Fulfilled,
    Failed,
    Cancelled,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Fulfilled => "fulfilled",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) status: Status,
    /// Counts the transitions: stands for the fence.
    pub(super) fence: u32,
    /// Whether the lease of whoever works on it is over.
    pub(super) lapsed: bool,
    /// State entered, and attempt.
    pub(super) timeline: Vec<(Status, u32)>,
}

/// Where a message is. `due` is its rank among what may be claimed now, `None` while its time has not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Leased { due: Option<u32> },
    Retrying { due: Option<u32> },
}

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) order: usize,
    pub(super) place: Place,
    pub(super) attempts: u32,
    /// The claim that it was handed out by last; 0 for none.
    pub(super) delivery: u32,
    /// The key that it was adopted under.
    pub(super) adoption: Option<String>,
}

/// What a worker was given with a message, and keeps even when it is worth nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) worker: usize,
    pub(super) message: u32,
    pub(super) order: usize,
    pub(super) delivery: u32,
    pub(super) attempt: u32,
}

/// What a worker was given with a row. Kept likewise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) worker: usize,
    pub(super) order: usize,
    pub(super) fence: u32,
    /// The receipt that it was begun with.
    pub(super) receipt: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Rejected,
    UnknownOrder,
    StoreRefused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    Retried,
    Discarded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) message: u32,
    pub(super) order: usize,
    pub(super) reason: Reason,
    pub(super) attempts: u32,
    pub(super) decided: Option<Decided>,
}

/// What a step must be answered. By position where there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    /// Message and attempt, in this order; and when there is more.
    Claimed(Vec<(u32, u32)>, Next),
    /// The answer gets lost.
    Lost,
    Begun(Vec<Begun>),
    Renewed(Vec<bool>),
    Concluded(Vec<Concluded>),
    Held(Vec<bool>),
    Adopted(usize),
    Redriven(Vec<Retry>),
    Marked(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    Later,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    Started { takeover: bool },
    Final(Status),
    Busy,
    Unknown,
    NotOurs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concluded {
    Done,
    Superseded(Status),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Redrive,
    Push,
    PushAgain,
    Retried,
    OrderIs(Status),
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) rows: Vec<Row>,
    pub(super) messages: BTreeMap<u32, Message>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) held: Vec<Held>,
    pub(super) letters: Vec<Letter>,
    /// Worker and claim, of claims whose answers got lost and that nobody has made up for yet.
    pub(super) unanswered: Vec<(usize, u32)>,
    pub(super) answer: Answer,
    /// Whether an answer can get lost on its way from this queue.
    pub(super) loses_answers: bool,
    pushed: u32,
    claims: u32,
    rank: u32,
    adoptions: BTreeMap<usize, u32>,
}

impl World {
    pub(super) fn new(loses_answers: bool) -> Self {
        let row = Row { status: Status::Pending, fence: 0, lapsed: false, timeline: Vec::new() };
        Self {
            rows: vec![row; ORDERS],
            messages: BTreeMap::new(),
            receipts: Vec::new(),
            held: Vec::new(),
            letters: Vec::new(),
            unanswered: Vec::new(),
            answer: Answer::Nothing,
            loses_answers,
            pushed: 0,
            claims: 0,
            rank: 0,
            adoptions: BTreeMap::new(),
        }
    }

    pub(super) fn take(&mut self, step: &Step) {
        self.answer = match step {
            Step::Push { orders } => self.push(orders),
            Step::Claim { worker, limit } => self.claim(*worker, *limit),
            Step::LoseClaim { worker, limit } => {
                self.claim(*worker, *limit);
                self.receipts.retain(|receipt| receipt.delivery != self.claims);
                self.unanswered.push((*worker, self.claims));
                Answer::Lost
            }
            Step::HandBack { worker } => {
                self.hand_back(*worker);
                Answer::Nothing
            }
            Step::MessageComesDue { message } => {
                let due = Some(self.next_rank());
                if let Some(message) = self.messages.get_mut(message) {
                    message.place = match message.place {
                        Place::Leased { .. } => Place::Leased { due },
                        _ => Place::Retrying { due },
                    };
                }
                Answer::Nothing
            }
            Step::Begin { receipts, .. } => {
                Answer::Begun(receipts.iter().map(|&receipt| self.begin(receipt)).collect())
            }
            Step::RenewRows { held, .. } => Answer::Renewed(held.iter().map(|&held| self.renew_row(held)).collect()),
            Step::RenewMessages { receipts, .. } => Answer::Held(receipts.iter().map(|&one| self.renew(one)).collect()),
            Step::Conclude { ends, .. } => Answer::Concluded(ends.iter().map(|end| self.conclude(end)).collect()),
            Step::Settle { settlings, .. } => Answer::Held(settlings.iter().map(|one| self.settle(one)).collect()),
            Step::RowLeaseEnds { order } => {
                self.rows[*order].lapsed = true;
                Answer::Nothing
            }
            Step::Cancel { order } => {
                self.rows[*order].status = Status::Cancelled;
                Answer::Nothing
            }
            Step::Reinstate { order } => {
                self.rows[*order].status = Status::Pending;
                Answer::Nothing
            }
            Step::Adopt { orders } => self.adopt(orders),
            Step::Bury { receipts, reason, .. } => {
                for &receipt in receipts {
                    self.bury(receipt, *reason);
                }
                Answer::Nothing
            }
            Step::Redrive { letters } => self.redrive(letters),
            Step::Mark { letters, decided } => {
                Answer::Marked(letters.iter().map(|&letter| self.mark(letter, *decided)).collect())
            }
        };
    }

    fn next_rank(&mut self) -> u32 {
        self.rank += 1;
        self.rank
    }

    fn push(&mut self, orders: &[usize]) -> Answer {
        for &order in orders {
            self.add_message(order, Place::Waiting, 0, None);
        }
        Answer::Nothing
    }

    /// The newest message's number.
    pub(super) fn last_message(&self) -> u32 {
        self.pushed
    }

    fn add_message(&mut self, order: usize, place: Place, attempts: u32, adoption: Option<String>) {
        self.pushed += 1;
        self.messages.insert(self.pushed, Message { order, place, attempts, delivery: 0, adoption });
    }

    /// The key under which an order is adopted next: the same while a message of it is there, and never again after.
    pub(super) fn adoption_key(&self, order: usize) -> String {
        format!("adopted-{order}-{}", self.adoptions.get(&order).copied().unwrap_or_default())
    }

    fn adopt(&mut self, orders: &[usize]) -> Answer {
        let mut adopted = 0;
        for &order in orders {
            let key = self.adoption_key(order);
            if !self.messages.values().any(|message| message.adoption.as_ref() == Some(&key)) {
                let due = Some(self.next_rank());
                self.add_message(order, Place::Retrying { due }, spent_before_adoption(order), Some(key));
                adopted += 1;
            }
        }
        Answer::Adopted(adopted)
    }

    /// The number of the message that each order's adoption stands for, as after [`Step::Adopt`].
    pub(super) fn adopted_message(&self, order: usize) -> Option<u32> {
        let key = self.adoption_key(order);
        self.messages.iter().find(|(_, message)| message.adoption.as_ref() == Some(&key)).map(|(&number, _)| number)
    }

    /// In the order in which they may be claimed: leases that are over, retries that are due, new ones.
    fn claimable(&self) -> Vec<u32> {
        let mut claimable: Vec<(u8, u32, u32)> = Vec::new();
        for (&number, message) in &self.messages {
            match message.place {
                Place::Leased { due: Some(rank) } => claimable.push((0, rank, number)),
                Place::Retrying { due: Some(rank) } => claimable.push((1, rank, number)),
                Place::Waiting => claimable.push((2, number, number)),
                Place::Leased { due: None } | Place::Retrying { due: None } => {}
            }
        }
        claimable.sort_unstable();
        claimable.into_iter().map(|(.., number)| number).collect()
    }

    fn claim(&mut self, worker: usize, limit: usize) -> Answer {
        self.hand_back(worker);
        self.claims += 1;
        let mut claimed = Vec::new();
        for number in self.claimable().into_iter().take(limit) {
            let Some(message) = self.messages.get_mut(&number) else { continue };
            message.place = Place::Leased { due: None };
            message.attempts += 1;
            message.delivery = self.claims;
            let (order, delivery, attempt) = (message.order, message.delivery, message.attempts);
            self.receipts.push(Receipt { worker, message: number, order, delivery, attempt });
            claimed.push((number, attempt));
        }
        let next = match (self.claimable().is_empty(), self.messages.is_empty()) {
            (false, _) => Next::Now,
            (true, false) => Next::Later,
            (true, true) => Next::Never,
        };
        Answer::Claimed(claimed, next)
    }

    /// What this worker claimed without learning of it can be claimed again, and the attempt was none.
    fn hand_back(&mut self, worker: usize) {
        let lost: Vec<u32> =
            self.unanswered.iter().filter(|(claimed_by, _)| *claimed_by == worker).map(|(_, claim)| *claim).collect();
        self.unanswered.retain(|(claimed_by, _)| *claimed_by != worker);
        for message in self.messages.values_mut() {
            if matches!(message.place, Place::Leased { .. }) && lost.contains(&message.delivery) {
                self.rank += 1;
                message.place = Place::Retrying { due: Some(self.rank) };
                message.attempts -= 1;
            }
        }
    }

    /// Whether a receipt is worth anything.
    pub(super) fn is_current(&self, receipt: &Receipt) -> bool {
        self.messages.get(&receipt.message).is_some_and(|message| {
            message.delivery == receipt.delivery && matches!(message.place, Place::Leased { .. })
        })
    }

    fn renew(&mut self, receipt: usize) -> bool {
        let receipt = self.receipts[receipt];
        let current = self.is_current(&receipt);
        if let (true, Some(message)) = (current, self.messages.get_mut(&receipt.message)) {
            message.place = Place::Leased { due: None };
        }
        current
    }

    fn settle(&mut self, settling: &(usize, Settling)) -> bool {
        let receipt = self.receipts[settling.0];
        if !self.is_current(&receipt) {
            return false;
        }
        let Settling::Retry { at_once, spent } = settling.1 else {
            let gone = self.messages.remove(&receipt.message);
            if gone.is_some_and(|message| message.adoption.is_some()) {
                *self.adoptions.entry(receipt.order).or_default() += 1;
            }
            return true;
        };
        let due = at_once.then(|| self.next_rank());
        if let Some(message) = self.messages.get_mut(&receipt.message) {
            message.place = Place::Retrying { due };
            message.attempts -= u32::from(!spent);
        }
        true
    }
}

/// Attempts that an order's adopted message begins with: different ones, so that each is seen to go on.
pub(super) fn spent_before_adoption(order: usize) -> u32 {
    u32::try_from(order).unwrap_or_default()
}
