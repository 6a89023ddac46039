//! What each step does. Whether a row may be written is asked of the worker's own [`admit`].

use std::time::Duration;

use fulfillment_worker::domain::order::{Fence, Refusal, RowView, Step, admit};

use crate::protocol::{Action, Protocol};
use crate::setting::Guard;
use crate::state::{Disposition, Ending, Message, Order, Phase, Place, Promise, Status, Worker, World};

const LEASE: Duration = Duration::from_secs(15);

impl Protocol {
    pub(crate) fn take(&self, world: &mut World, action: Action) {
        match action {
            Action::Claim { worker, order, slot } => self.claim(world, Some(worker), order, slot),
            Action::ClaimUnanswered { order, slot } => self.claim(world, None, order, slot),
            Action::Begin { worker } => self.begin(world, worker),
            Action::BeginUnanswered { worker } => {
                let order = world.workers[worker].order;
                if self.may_begin(&world.orders[order]).is_ok() {
                    self.write(world, order, Status::Processing);
                    world.orders[order].holder = None;
                }
            }
            Action::Call { worker, done } => self.call(world, worker, done),
            Action::AnswerFulfilled { worker } => end(world, worker, Ending::Fulfilled),
            Action::AnswerFailed { worker } => {
                nothing_was_done(world, worker);
                end(world, worker, self.failed(world.workers[worker].attempt));
            }
            Action::AnswerUnavailable { worker } => {
                nothing_was_done(world, worker);
                end(world, worker, Ending::Retry { spent: false });
            }
            Action::AnswerRejected { worker } => {
                nothing_was_done(world, worker);
                end(world, worker, Ending::Dead);
            }
            Action::NoAnswer { worker } => {
                let retry = self.failed(world.workers[worker].attempt);
                end(world, worker, if self.setting.parking { Ending::Dead } else { retry });
            }
            Action::HandBack { worker } => {
                let sent = matches!(world.workers[worker].phase, Phase::Calling { .. });
                end(
                    world,
                    worker,
                    if sent && self.setting.parking { Ending::Dead } else { Ending::Retry { spent: false } },
                );
            }
            Action::RenewRow { worker } => self.renew_row(world, worker, true),
            Action::RenewRowUnanswered { worker } => self.renew_row(world, worker, false),
            Action::RenewMessage { worker } => renew_message(world, worker),
            Action::Conclude { worker } => self.conclude(world, worker),
            Action::ConcludeUnanswered { worker } => {
                if let (Some(to), Some(fence)) = (target(world, worker), world.workers[worker].fence) {
                    let _ = self.write_at(world, worker, to, fence);
                }
                world.workers[worker].maybe_applied = true;
            }
            Action::Settle { worker } => self.settle(world, worker, true),
            Action::SettleUnanswered { worker } => self.settle(world, worker, false),
            Action::Crash { worker } => crash(world, worker),
            Action::RowLeaseEnds { order } => row_lease_ends(world, order),
            Action::MessageLeaseEnds { order, slot } => {
                if let Some(Message { place: Place::Leased { lapsed, .. }, .. }) =
                    &mut world.orders[order].messages[slot]
                {
                    *lapsed = true;
                }
            }
            Action::MessageLost { order, slot } => world.orders[order].messages[slot] = None,
            Action::MessageRepeated { order } | Action::Reconcile { order } => self.push(world, order, 0),
            Action::ReconcilerLooks { order } => world.about_to_reset = Some(order),
            Action::ReconcilerResets => {
                if let Some(order) = world.about_to_reset.take() {
                    self.write(world, order, Status::Pending);
                }
            }
            Action::Cancel { order } => {
                let row = &mut world.orders[order];
                (row.status, row.lapsed) = (Status::Cancelled, false);
            }
        }
    }

    fn claim(&self, world: &mut World, worker: Option<usize>, order: usize, slot: usize) {
        let Some(message) = &mut world.orders[order].messages[slot] else { return };
        message.attempts = (message.attempts + 1).min(self.setting.max_attempts + 1);
        message.place = Place::Leased { holder: worker, lapsed: false };
        let attempt = message.attempts;
        if let Some(worker) = worker {
            world.workers[worker] = Worker { phase: Phase::Claimed, order, slot, attempt, ..Worker::IDLE };
        }
        if self.lacks(Guard::LeaseOnClaim) {
            world.orders[order].messages[slot] = None;
        }
    }

    fn may_begin(&self, row: &Order) -> Result<Status, Refusal> {
        let idle = row.lapsed || self.lacks(Guard::TakeoverLease);
        let idle = if idle { LEASE + Duration::from_micros(1) } else { Duration::ZERO };
        let view = RowView { state: row.status.row_state(), fence: Fence(row.fence.into()), idle };
        admit(&view, Step::Begin { lease: LEASE }).map(|state| Status::of(&state))
    }

    fn begin(&self, world: &mut World, worker: usize) {
        let Worker { order, attempt, .. } = world.workers[worker];
        match self.may_begin(&world.orders[order]) {
            Ok(entered) => {
                let takeover = world.orders[order].status == Status::Processing;
                self.write(world, order, entered);
                world.orders[order].holder = Some(worker);
                world.workers[worker].fence = Some(world.orders[order].fence);
                let parked = takeover && self.setting.parking && !self.lacks(Guard::ParkAfterTakeover);
                let exhausted = attempt > self.setting.max_attempts;
                world.workers[worker].phase =
                    if parked || exhausted { Phase::Ended(Ending::Dead) } else { Phase::Begun };
            }
            Err(Refusal::Busy(_)) => end(world, worker, Ending::Retry { spent: false }),
            Err(_) => end(world, worker, Ending::Over),
        }
    }

    fn call(&self, world: &mut World, worker: usize, done: bool) {
        let Worker { order, attempt, outlived, .. } = world.workers[worker];
        let is_live =
            |other: &Worker| matches!(other.phase, Phase::Calling { .. }) && other.order == order && !other.outlived;
        if !outlived && world.workers.iter().any(is_live) {
            self.break_promise(world, Promise::LiveWorkRepeated);
        }
        if self.setting.parking {
            if world.orders[order].doubtful_calls > 0 {
                self.break_promise(world, Promise::CalledTwice);
            }
            let calls = &mut world.orders[order].doubtful_calls;
            *calls = (*calls + 1).min(2);
        }
        if done {
            let under = 1 << self.key(order, attempt);
            if world.orders[order].done_under & !under != 0 {
                self.break_promise(world, Promise::DoneTwice);
            }
            world.orders[order].done_under |= under;
        }
        world.workers[worker].phase = Phase::Calling { done };
    }

    fn failed(&self, attempt: u8) -> Ending {
        if attempt < self.setting.max_attempts { Ending::Retry { spent: true } } else { Ending::Dead }
    }

    fn renew_row(&self, world: &mut World, worker: usize, answered: bool) {
        let Worker { order, fence: Some(held), .. } = world.workers[worker] else { return };
        match self.admitted(&world.orders[order], Step::Renew(Fence(held.into()))) {
            Ok(entered) => {
                self.write(world, order, entered);
                world.workers[worker].outlived = false;
                if answered {
                    world.workers[worker].fence = Some(world.orders[order].fence);
                }
            }
            Err(_) if answered => end(world, worker, Ending::Retry { spent: false }),
            Err(_) => {}
        }
        if matches!(world.workers[worker].phase, Phase::Ended(_)) {
            world.workers[worker].fence = None;
        }
    }

    /// A row as the guards see it, or as they would with one left out.
    fn admitted(&self, row: &Order, step: Step) -> Result<Status, Refusal> {
        let (Step::Renew(held) | Step::Fulfil(held) | Step::Release(held) | Step::Fail(held)) = step else {
            return Err(Refusal::Superseded);
        };
        let mut view = RowView { state: row.status.row_state(), fence: Fence(row.fence.into()), idle: Duration::ZERO };
        let renewal = matches!(step, Step::Renew(_));
        if !renewal && (self.lacks(Guard::Fence) || self.lacks(Guard::StateAndFence)) {
            view.fence = held;
        }
        if !renewal && self.lacks(Guard::StateAndFence) {
            view.state = Status::Processing.row_state();
        }
        admit(&view, step).map(|state| Status::of(&state))
    }

    fn write_at(&self, world: &mut World, worker: usize, to: Status, held: u8) -> Result<(), Refusal> {
        let order = world.workers[worker].order;
        let held = Fence(held.into());
        let step = match to {
            Status::Fulfilled => Step::Fulfil(held),
            Status::Failed => Step::Fail(held),
            _ => Step::Release(held),
        };
        let entered = self.admitted(&world.orders[order], step)?;
        if world.orders[order].holder != Some(worker) {
            self.break_promise(world, Promise::StaleWrite);
        }
        self.write(world, order, entered);
        world.orders[order].holder = None;
        Ok(())
    }

    fn conclude(&self, world: &mut World, worker: usize) {
        let Worker { order, fence, maybe_applied, phase, .. } = world.workers[worker];
        let Phase::Ended(mut ending) = phase else { return };
        if let (Some(to), Some(fence)) = (target(world, worker), fence)
            && self.write_at(world, worker, to, fence).is_err()
        {
            let row = &world.orders[order];
            let was_applied = maybe_applied && row.status == to && row.fence > fence;
            if !was_applied {
                let is_final = row.status.row_state().is_final();
                ending = if is_final { Ending::Over } else { Ending::Retry { spent: false } };
            }
        }
        forget_holder(world, worker);
        let worker = &mut world.workers[worker];
        worker.phase = Phase::Concluded(disposition(ending));
        (worker.fence, worker.maybe_applied, worker.outlived) = (None, false, false);
    }

    fn settle(&self, world: &mut World, worker: usize, answered: bool) {
        let Worker { order, slot, phase, attempt, .. } = world.workers[worker];
        let disposition = match phase {
            Phase::Concluded(disposition) => disposition,
            // Only without the guard that keeps it from being too early.
            Phase::Ended(ending) => disposition(ending),
            _ => return,
        };
        if world.holds_receipt(worker) {
            let message = &mut world.orders[order].messages[slot];
            match disposition {
                Disposition::Ack => {
                    *message = None;
                    if !world.orders[order].status.is_over() {
                        self.break_promise(world, Promise::AcknowledgedEarly);
                    }
                }
                Disposition::Retry { spent } => {
                    if let Some(message) = message {
                        message.attempts -= u8::from(!spent);
                        message.place = Place::Waiting;
                    }
                }
            }
        } else if let (true, Disposition::Retry { spent }) = (self.lacks(Guard::LeaseOnClaim), disposition) {
            self.push(world, order, attempt - u8::from(!spent));
        }
        if answered && matches!(phase, Phase::Concluded(_)) {
            world.workers[worker] = Worker::IDLE;
        }
    }

    fn push(&self, world: &mut World, order: usize, attempts: u8) {
        if let Some(slot) = self.free_slot(&world.orders[order]) {
            world.orders[order].messages[slot] = Some(Message { attempts, place: Place::Waiting });
        }
    }

    fn write(&self, world: &mut World, order: usize, status: Status) {
        let row = &mut world.orders[order];
        let (before, fence) = (row.status, row.fence);
        row.status = status;
        row.fence += u8::from(!self.lacks(Guard::FenceMovesForward));
        row.lapsed = false;
        if row.fence <= fence {
            self.break_promise(world, Promise::FenceStood);
        }
        if before.is_over() {
            self.break_promise(world, Promise::FinalWritten);
            if before != status {
                self.break_promise(world, Promise::FinalChanged);
            }
        }
    }

    /// Where one promise is looked at, the others may be broken.
    fn break_promise(&self, world: &mut World, promise: Promise) {
        if self.setting.looked_at.is_none_or(|looked_at| looked_at == promise) {
            world.broken = Some(promise);
        }
    }
}

fn end(world: &mut World, worker: usize, ending: Ending) {
    world.workers[worker].phase = Phase::Ended(ending);
}

fn nothing_was_done(world: &mut World, worker: usize) {
    let calls = &mut world.orders[world.workers[worker].order].doubtful_calls;
    *calls = calls.saturating_sub(1);
}

fn renew_message(world: &mut World, worker: usize) {
    if world.holds_receipt(worker) {
        let Worker { order, slot, .. } = world.workers[worker];
        if let Some(message) = &mut world.orders[order].messages[slot] {
            message.place = Place::Leased { holder: Some(worker), lapsed: false };
        }
    }
}

/// What the worker would have written. `None` when there is nothing to write.
fn target(world: &World, worker: usize) -> Option<Status> {
    match world.workers[worker].phase {
        Phase::Ended(Ending::Fulfilled) => Some(Status::Fulfilled),
        Phase::Ended(Ending::Retry { .. }) => Some(Status::Pending),
        Phase::Ended(Ending::Dead) => Some(Status::Failed),
        _ => None,
    }
}

fn disposition(ending: Ending) -> Disposition {
    match ending {
        Ending::Retry { spent } => Disposition::Retry { spent },
        Ending::Fulfilled | Ending::Dead | Ending::Over => Disposition::Ack,
    }
}

fn crash(world: &mut World, worker: usize) {
    forget_holder(world, worker);
    for message in world.orders.iter_mut().flat_map(|order| &mut order.messages).flatten() {
        if let Place::Leased { holder, .. } = &mut message.place
            && *holder == Some(worker)
        {
            *holder = None;
        }
    }
    world.workers[worker] = Worker::IDLE;
}

fn forget_holder(world: &mut World, worker: usize) {
    for order in &mut world.orders {
        order.holder = order.holder.filter(|holder| *holder != worker);
    }
}

fn row_lease_ends(world: &mut World, order: usize) {
    world.orders[order].lapsed = true;
    if let Some(holder) = world.orders[order].holder
        && world.workers[holder].order == order
        && matches!(world.workers[holder].phase, Phase::Begun | Phase::Calling { .. })
    {
        world.workers[holder].outlived = true;
    }
}
