//! The store: rows and dead letters.

use std::collections::BTreeSet;

use super::{Answer, Begun, Concluded, Decided, Held, Letter, Reason, Receipt, Retry, Status, World};
use crate::state_machine::steps::End;

impl World {
    fn enter(&mut self, order: usize, status: Status, attempt: u32) {
        let row = &mut self.rows[order];
        row.status = status;
        row.fence += 1;
        row.lapsed = false;
        row.timeline.push((status, attempt));
    }

    pub(super) fn begin(&mut self, receipt: usize) -> Begun {
        let Receipt { worker, order, attempt, .. } = self.receipts[receipt];
        let Some(row) = self.rows.get(order) else { return Begun::Unknown };
        let takeover = match row.status {
            Status::Pending => false,
            Status::Processing if row.lapsed => true,
            Status::Processing => return Begun::Busy,
            Status::Fulfilled | Status::Failed => return Begun::Final(row.status),
            Status::Cancelled => return Begun::NotOurs,
        };
        self.enter(order, Status::Processing, attempt);
        self.held.push(Held { worker, order, fence: self.rows[order].fence, receipt });
        Begun::Started { takeover }
    }

    /// Whether the row is still as its holder left it.
    pub(in super::super) fn is_held(&self, held: &Held) -> bool {
        self.rows[held.order].status == Status::Processing && self.rows[held.order].fence == held.fence
    }

    pub(super) fn renew_row(&mut self, held: usize) -> bool {
        let held = self.held[held];
        if !self.is_held(&held) {
            return false;
        }
        let row = &mut self.rows[held.order];
        row.fence += 1;
        row.lapsed = false;
        let fence = row.fence;
        self.held.push(Held { fence, ..held });
        true
    }

    pub(super) fn conclude(&mut self, end: &End) -> Concluded {
        let held = self.held[end.held];
        let row = &self.rows[held.order];
        if !self.is_held(&held) {
            let applied = end.maybe_applied && row.status == end.to && row.fence > held.fence;
            return if applied { Concluded::Done } else { Concluded::Superseded(row.status) };
        }
        self.enter(held.order, end.to, self.receipts[held.receipt].attempt);
        if end.to == Status::Failed {
            self.bury(held.receipt, Reason::Rejected);
        }
        Concluded::Done
    }

    /// One letter of a message, until somebody decides about it.
    pub(super) fn bury(&mut self, receipt: usize, reason: Reason) {
        let Receipt { message, order, attempt, .. } = self.receipts[receipt];
        if !self.letters.iter().any(|letter| letter.message == message && letter.decided.is_none()) {
            self.letters.push(Letter { message, order, reason, attempts: attempt, decided: None });
        }
    }

    /// Every letter is judged as it and its order were before any of them was.
    pub(super) fn redrive(&mut self, letters: &[usize]) -> Answer {
        let steps: Vec<Retry> = letters.iter().map(|&letter| self.retry(&self.letters[letter])).collect();
        let moved: BTreeSet<usize> = letters
            .iter()
            .zip(&steps)
            .filter(|(_, step)| **step == Retry::Redrive)
            .map(|(&letter, _)| letter)
            .collect();
        let orders: BTreeSet<usize> = moved.iter().map(|&letter| self.letters[letter].order).collect();
        for order in orders {
            self.enter(order, Status::Pending, 0);
        }
        for letter in moved {
            self.letters[letter].decided = Some(Decided::Retried);
        }
        Answer::Redriven(steps)
    }

    fn retry(&self, letter: &Letter) -> Retry {
        let status = self.rows.get(letter.order).map(|row| row.status);
        match (letter.decided, status) {
            (Some(Decided::Retried), Some(Status::Pending)) => Retry::PushAgain,
            (Some(Decided::Retried), _) => Retry::Retried,
            (_, None) => Retry::Push,
            (_, Some(Status::Failed)) => Retry::Redrive,
            (_, Some(Status::Pending | Status::Processing)) if letter.reason != Reason::Rejected => Retry::Push,
            (_, Some(status)) => Retry::OrderIs(status),
        }
    }

    pub(super) fn mark(&mut self, letter: usize, decided: Decided) -> bool {
        let before = &mut self.letters[letter].decided;
        let marked = match before {
            None => true,
            Some(Decided::Discarded) => decided == Decided::Retried,
            Some(Decided::Retried) => false,
        };
        if marked {
            *before = Some(decided);
        }
        marked
    }
}
