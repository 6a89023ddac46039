//! The rules of the store: rows that move as [`admit`] allows, and dead letters.

use std::collections::BTreeSet;
use std::time::Duration;

use fulfillment_worker::domain::dead_letter::{DeadReason, Resolution, RetryStep};
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::{Fence, Order, OrderId, Refusal, RowView, State, Step, admit};
use fulfillment_worker::port::store::{Begun, Renewed, Verdict};

use crate::queue::Receipt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub message: u32,
    /// As of the message, when it was claimed.
    pub returned: u32,
    pub order: usize,
    pub reason: DeadReason,
    pub attempts: u32,
    pub resolution: Option<Resolution>,
}

/// A row that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub order: usize,
    pub from: RowView,
    pub to: State,
    pub fence: Fence,
    /// As the timeline has it. `None` for a renewal, which it leaves out.
    pub attempt: Option<u32>,
}

/// Rows and letters. An order is the index of its row; the worker calls it [`order`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// As they are, or were last.
    pub rows: Vec<RowView>,
    /// Orders whose rows somebody, or a failover, has made away with.
    pub gone: BTreeSet<usize>,
    pub letters: Vec<Letter>,
    /// Every transition, until a driver removes it.
    pub written: Vec<Transition>,
    /// Orders that are held: those are not begun.
    pub held: BTreeSet<usize>,
    /// How far each transition moves the fence. 0 breaks the protocol.
    pub fence_step: i64,
    lease: Duration,
}

/// An order as [`Store::begin`] starts it.
pub fn order(index: usize, attempt: u32) -> Order {
    Order {
        id: OrderId(i64::try_from(index).unwrap_or(i64::MAX - 1) + 1),
        product_id: 1,
        product: None,
        quantity: 1,
        created_at_micros: Some(0),
        attempt,
        correlation_id: None,
        traceparent: None,
    }
}

impl Store {
    /// Rows that are taken over after `lease`.
    pub fn new(rows: Vec<RowView>, lease: Duration) -> Self {
        let (gone, held) = (BTreeSet::new(), BTreeSet::new());
        Self { rows, gone, letters: Vec::new(), written: Vec::new(), held, fence_step: 1, lease }
    }

    /// This many pending rows.
    pub fn pending(orders: usize, lease: Duration) -> Self {
        Self::new(vec![RowView { state: State::Pending, fence: Fence(0), idle: Duration::ZERO }; orders], lease)
    }

    /// What there is of an order.
    pub fn row(&self, order: usize) -> Option<&RowView> {
        self.rows.get(order).filter(|_| !self.gone.contains(&order))
    }

    pub fn begin(&mut self, receipt: &Receipt) -> Begun {
        let Some(row) = self.row(receipt.order) else { return Begun::Unknown };
        let before = row.state.clone();
        if self.held.contains(&receipt.order) && admit(row, Step::Begin { lease: self.lease }).is_ok() {
            return Begun::Held(None);
        }
        match self.take(receipt.order, Step::Begin { lease: self.lease }, Some(receipt.attempt)) {
            Ok(fence) => {
                let takeover = before == State::Processing;
                Begun::Started { order: order(receipt.order, receipt.attempt), fence, takeover, waited: None }
            }
            Err(Refusal::Busy(left)) => Begun::Busy(left),
            Err(Refusal::Final) => Begun::AlreadyFinal(before),
            Err(Refusal::NotOurs | Refusal::Superseded) => Begun::NotOurs(before.as_str().to_owned()),
        }
    }

    /// Whether the row is still as the holder of this fence left it.
    pub fn is_held(&self, order: usize, fence: Fence) -> bool {
        self.row(order).is_some_and(|row| admit(row, Step::Renew(fence)).is_ok())
    }

    pub fn renew(&mut self, order: usize, fence: Fence) -> Renewed {
        if self.gone.contains(&order) {
            return Renewed::Lost;
        }
        self.take(order, Step::Renew(fence), None).map_or(Renewed::Lost, Renewed::Kept)
    }

    /// Ends an attempt. An order that fails has a letter.
    pub fn conclude(&mut self, receipt: &Receipt, fence: Fence, to: &State, maybe_applied: bool) -> Verdict {
        if self.gone.contains(&receipt.order) {
            return Verdict::Superseded(None);
        }
        let step = match to {
            State::Fulfilled => Step::Fulfil(fence),
            State::Failed => Step::Fail(fence),
            _ => Step::Release(fence),
        };
        if self.take(receipt.order, step, Some(receipt.attempt)).is_err() {
            let row = &self.rows[receipt.order];
            let applied = maybe_applied && row.state == *to && row.fence > fence;
            return if applied { Verdict::Done { age: None } } else { Verdict::Superseded(Some(row.state.clone())) };
        }
        if *to == State::Failed {
            self.insert_letter(receipt, DeadReason::Rejected);
        }
        Verdict::Done { age: None }
    }

    /// An operator calls the order off. Returns whether that is done.
    pub fn cancel(&mut self, order: usize) -> bool {
        let done = self.take(order, Step::Cancel, Some(0)).is_ok();
        if done {
            self.held.remove(&order);
        }
        done
    }

    /// An operator holds the order. The fence of one that is pending moves. Returns whether that is done.
    pub fn hold(&mut self, order: usize) -> bool {
        let state = self.rows[order].state.clone();
        let done = admit(&self.rows[order], Step::Cancel).is_ok();
        if done {
            self.held.insert(order);
        }
        if state == State::Pending {
            self.write(order, state, Some(0));
        }
        done
    }

    /// An operator releases the order.
    pub fn release(&mut self, order: usize) -> bool {
        self.held.remove(&order)
    }

    /// Keeps one letter of a message, until somebody resolves it.
    pub fn insert_letter(&mut self, receipt: &Receipt, reason: DeadReason) {
        let Receipt { message, order, attempt, returned, .. } = *receipt;
        let is_its = |letter: &Letter| (letter.message, letter.returned) == (message, returned);
        if !self.letters.iter().any(|letter| is_its(letter) && letter.resolution.is_none()) {
            self.letters.push(Letter { message, returned, order, reason, attempts: attempt, resolution: None });
        }
    }

    /// Judges every letter as it and its order were before any of them moved.
    pub fn redrive(&mut self, letters: &[usize]) -> Vec<RetryStep> {
        let steps: Vec<RetryStep> = letters.iter().map(|&letter| self.retry_step(letter)).collect();
        let chosen = letters.iter().zip(&steps).filter(|(_, step)| **step == RetryStep::Redrive);
        let chosen: BTreeSet<usize> = chosen.map(|(&letter, _)| letter).collect();
        for letter in chosen {
            // Refused where an earlier letter of the order has moved it.
            let _ = self.take(self.letters[letter].order, Step::Redrive, Some(0));
            self.letters[letter].resolution = Some(Resolution::Retried);
        }
        steps
    }

    fn retry_step(&self, letter: usize) -> RetryStep {
        let Letter { order, reason, resolution, .. } = &self.letters[letter];
        RetryStep::of(reason.as_str(), *resolution, self.row(*order).map(|row| &row.state))
    }

    /// Returns whether the letter was marked: a retried one is not marked again, a discarded one not discarded again.
    pub fn resolve(&mut self, letter: usize, resolution: Resolution) -> bool {
        let before = &mut self.letters[letter].resolution;
        let marks = before.is_none() || (*before, resolution) == (Some(Resolution::Discarded), Resolution::Retried);
        if marks {
            *before = Some(resolution);
        }
        marks
    }

    /// Ends the lease of whoever works on the order.
    pub fn end_lease(&mut self, order: usize) {
        self.rows[order].idle = self.lease + Duration::from_secs(1);
    }

    /// The clock is put back behind the row's fence: nobody can tell its age, so that it counts as just written.
    pub fn put_clock_back(&mut self, order: usize) {
        self.rows[order].idle = Duration::ZERO;
    }

    pub fn is_lapsed(&self, order: usize) -> bool {
        self.rows[order].idle > self.lease
    }

    /// Somebody who knows no fences writes a status.
    pub fn set_state(&mut self, order: usize, state: State) {
        let row = &mut self.rows[order];
        (row.state, row.idle) = (state, Duration::ZERO);
    }

    fn take(&mut self, order: usize, step: Step, attempt: Option<u32>) -> Result<Fence, Refusal> {
        let entered = admit(&self.rows[order], step)?;
        Ok(self.write(order, entered, attempt))
    }

    /// Writes a row without asking anything. By itself only for a protocol that lacks a guard.
    pub fn write(&mut self, order: usize, to: State, attempt: Option<u32>) -> Fence {
        let fence = Fence(self.rows[order].fence.0 + self.fence_step);
        let entered = RowView { state: to.clone(), fence, idle: Duration::ZERO };
        let from = std::mem::replace(&mut self.rows[order], entered);
        self.written.push(Transition { order, from, to, fence, attempt });
        fence
    }
}
