//! The rules of the queue: claims under leases, receipts that become stale, retries that come due.

use std::time::Duration;

use fulfillment_worker::port::queue::Disposition;

/// Where a message is. `due` is its rank among the messages that may be claimed now, `None` before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Waiting,
    Leased { due: Option<u32> },
    Retrying { due: Option<u32> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    pub number: u32,
    pub order: usize,
    pub place: Place,
    /// Claims that count.
    pub attempts: u32,
    /// The delivery that its current receipt names; 0 before the first one.
    pub delivery: u32,
    /// The key under which a reconciler put it in.
    pub requeued_as: Option<u32>,
    /// How often it was made new again. Each time it gets another name, and a place among the waiting that follows from
    /// times which the model doesn't have.
    pub returned: u32,
}

/// What a claim gives a worker with a message. It stays as it is when it is worth nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub message: u32,
    pub order: usize,
    pub delivery: u32,
    pub attempt: u32,
    /// As of the message, when it was claimed.
    pub returned: u32,
}

/// Messages, oldest first. Their numbers count from 1 and are never used again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    messages: Vec<Message>,
    pushed: u32,
    deliveries: u32,
    rank: u32,
}

impl Queue {
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub fn message(&self, number: u32) -> Option<&Message> {
        self.messages.iter().find(|message| message.number == number)
    }

    /// Puts a new message in.
    pub fn push(&mut self, order: usize) {
        self.add(order, Place::Waiting, 0, None);
    }

    /// The newest message's number, 0 before the first one.
    pub fn last_pushed(&self) -> u32 {
        self.pushed
    }

    /// Puts a message in for an order that seems to have lost its own, unless one with this key is there.
    pub fn requeue_lost(&mut self, order: usize, key: u32, attempts: u32) -> bool {
        let is_there = |message: &Message| message.order == order && message.requeued_as == Some(key);
        if self.messages.iter().any(is_there) {
            return false;
        }
        let due = Some(self.next_rank());
        self.add(order, Place::Retrying { due }, attempts, Some(key));
        true
    }

    /// Messages that a claim may take, in the order in which it takes them: those whose leases are over, retries that
    /// are due, new ones.
    pub fn claimable(&self) -> Vec<u32> {
        let mut claimable: Vec<(u8, u32, u32)> = Vec::new();
        for message in &self.messages {
            match message.place {
                Place::Leased { due: Some(rank) } => claimable.push((0, rank, message.number)),
                Place::Retrying { due: Some(rank) } => claimable.push((1, rank, message.number)),
                Place::Waiting => claimable.push((2, message.number, message.number)),
                Place::Leased { due: None } | Place::Retrying { due: None } => {}
            }
        }
        claimable.sort_unstable();
        claimable.into_iter().map(|(.., number)| number).collect()
    }

    pub fn claim(&mut self, number: u32) -> Option<Receipt> {
        let message = self.messages.iter_mut().find(|message| message.number == number)?;
        self.deliveries += 1;
        message.place = Place::Leased { due: None };
        message.attempts += 1;
        message.delivery = self.deliveries;
        let Message { order, delivery, attempts: attempt, returned, .. } = *message;
        Some(Receipt { message: number, order, delivery, attempt, returned })
    }

    /// Whether a receipt is still worth anything.
    pub fn is_valid(&self, receipt: &Receipt) -> bool {
        self.message(receipt.message).is_some_and(|message| {
            message.delivery == receipt.delivery && matches!(message.place, Place::Leased { .. })
        })
    }

    /// Returns `false` for a stale receipt, which changes nothing.
    pub fn renew(&mut self, receipt: &Receipt) -> bool {
        self.held(receipt).map(|message| message.place = Place::Leased { due: None }).is_some()
    }

    /// Returns `false` for a stale receipt, which changes nothing.
    pub fn settle(&mut self, receipt: &Receipt, disposition: Disposition) -> bool {
        if !self.is_valid(receipt) {
            return false;
        }
        match disposition {
            Disposition::Ack => self.lose(receipt.message),
            Disposition::Retry { after, spent } => {
                let due = (after == Duration::ZERO).then(|| self.next_rank());
                if let Some(message) = self.held(receipt) {
                    message.place = Place::Retrying { due };
                    message.attempts -= u32::from(!spent);
                }
            }
        }
        true
    }

    /// Makes claimed messages new again, those under leases only if they are to be taken; returns them as they were.
    pub fn hand_back(&mut self, takes_leased: bool) -> Vec<Message> {
        let is_handed_back = |message: &&mut Message| match message.place {
            Place::Waiting => false,
            Place::Leased { due: None } => takes_leased,
            Place::Leased { .. } | Place::Retrying { .. } => true,
        };
        let hand_back = |message: &mut Message| {
            let before = *message;
            let returned = before.returned + 1;
            *message = Message { place: Place::Waiting, attempts: 0, requeued_as: None, returned, ..before };
            before
        };
        self.messages.iter_mut().filter(is_handed_back).map(hand_back).collect()
    }

    /// Whether messages wait whose order isn't known here.
    pub fn is_unordered(&self) -> bool {
        self.messages.iter().any(|message| message.place == Place::Waiting && message.returned > 0)
    }

    /// Whether a message waits for its lease to end or for its retry.
    pub fn is_scheduled(&self, number: u32) -> bool {
        let place = self.message(number).map(|message| message.place);
        matches!(place, Some(Place::Leased { due: None } | Place::Retrying { due: None }))
    }

    /// Ends a message's lease, or its wait for a retry.
    pub fn come_due(&mut self, number: u32) {
        let due = Some(self.next_rank());
        if let Some(message) = self.messages.iter_mut().find(|message| message.number == number) {
            message.place = match message.place {
                Place::Leased { .. } => Place::Leased { due },
                _ => Place::Retrying { due },
            };
        }
    }

    /// Counts no attempts beyond this one, which keeps the states few.
    pub fn cap_attempts(&mut self, most: u32) {
        self.messages.iter_mut().for_each(|message| message.attempts = message.attempts.min(most));
    }

    pub fn lose(&mut self, number: u32) {
        self.messages.retain(|message| message.number != number);
    }

    fn held(&mut self, receipt: &Receipt) -> Option<&mut Message> {
        let valid = self.is_valid(receipt);
        self.messages.iter_mut().find(|message| valid && message.number == receipt.message)
    }

    fn add(&mut self, order: usize, place: Place, attempts: u32, requeued_as: Option<u32>) {
        self.pushed += 1;
        self.messages.push(Message {
            number: self.pushed,
            order,
            place,
            attempts,
            delivery: 0,
            requeued_as,
            returned: 0,
        });
    }

    fn next_rank(&mut self) -> u32 {
        self.rank += 1;
        self.rank
    }
}
