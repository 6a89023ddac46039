//! What each step does to the world. [`Store`](fulfillment_model::Store) and [`Queue`](fulfillment_model::Queue) have
//! the rules, and the engine's own functions decide for the workers; here are the faults, and the guards left out.

use std::time::Duration;

use fulfillment_model::{Receipt, order};
use fulfillment_worker::domain::order::{Fence, State};
use fulfillment_worker::engine::decision::{
    self, Answer, AttemptOutcome, Next, Unplaced, after_begin, after_call, after_verdict, without_place,
};
use fulfillment_worker::port::fulfiller::Outcome;
use fulfillment_worker::port::queue::Disposition;
use fulfillment_worker::port::store::{Begun, Renewed, Verdict};

use crate::protocol::{Action, Deed, Protocol, Reply};
use crate::setting::Guard;
use crate::world::{Attempt, Phase, Promise, World, goes_back, is_over, target};

impl Protocol {
    pub(crate) fn take(&self, world: &mut World, action: Action) {
        match action {
            Action::Of(slot, deed) => self.act(world, slot, deed),
            Action::ClaimUnanswered { message } => {
                self.claim(world, message);
            }
            Action::RowLeaseEnds { order } => row_lease_ends(world, order),
            Action::MessageLeaseEnds { message } => world.queue.come_due(message),
            Action::MessageLost { message } => world.queue.lose(message),
            Action::MessageRepeated { order } | Action::Reconcile { order } => world.queue.push(order),
            Action::ReconcilerLooks { order } => world.about_to_reset = Some(order),
            Action::ReconcilerResets => {
                if let Some(order) = world.about_to_reset.take() {
                    world.store.write(order, State::Pending, None);
                }
            }
            Action::Cancel { order } => world.store.set_state(order, State::Cancelled),
            Action::CallOff { order } => {
                world.store.cancel(order);
            }
            Action::OperatorLooks { order } => world.about_to_reset = Some(order),
            Action::OperatorCancels => {
                if let Some(order) = world.about_to_reset.take() {
                    world.store.write(order, State::Cancelled, Some(0));
                }
            }
            Action::Hold { order } => {
                world.store.hold(order);
            }
            Action::Release { order } => {
                world.store.release(order);
            }
            Action::RowVanishes { order } => {
                world.store.gone.insert(order);
                world.witnesses[order].holder = None;
            }
        }
        self.judge_transitions(world);
    }

    fn act(&self, world: &mut World, slot: usize, deed: Deed) {
        if let Deed::Claim { message } = deed {
            world.attempts[slot] = self.claim(world, message).map(|receipt| Attempt {
                receipt,
                phase: Phase::Claimed,
                fence: None,
                maybe_applied: false,
                outlived: false,
                lost: false,
            });
            return;
        }
        // Put back at the end, unless nothing is in hand then.
        let Some(mut attempt) = world.attempts[slot].clone() else { return };
        let policy = &self.setting.policy();
        match deed {
            Deed::Claim { .. } => {}
            Deed::Begin { answered } => self.begin(world, slot, &mut attempt, answered),
            Deed::Call { done } => self.call(world, slot, &mut attempt, done),
            Deed::Hear(reply) => {
                if reply.says_that_nothing_was_done() {
                    let calls = &mut world.witnesses[attempt.receipt.order].doubtful_calls;
                    *calls = calls.saturating_sub(1);
                }
                attempt.phase = Phase::Ended(after_call(reply.answer(), attempt.receipt.attempt, policy).attempt);
            }
            Deed::HandBack => {
                attempt.phase = match attempt.phase {
                    Phase::Begun { takeover } => match self.decide(&attempt, takeover, true) {
                        Next::End(outcome) => Phase::Ended(outcome),
                        Next::Call(_) => return,
                    },
                    _ => Phase::Ended(after_call(Answer::BrokenOff, attempt.receipt.attempt, policy).attempt),
                }
            }
            Deed::PassOver => {
                let outcome = without_place(Unplaced::TooLong);
                let is_released = !self.lacks(Guard::ReleaseWhenPassedOver);
                attempt.phase = if is_released { Phase::Ended(outcome) } else { Phase::Concluded(outcome) };
            }
            Deed::RenewRow { answered } => {
                let Some(held) = attempt.fence else { return };
                match world.store.renew(attempt.receipt.order, held) {
                    Renewed::Kept(fence) => {
                        attempt.outlived = false;
                        attempt.fence = Some(if answered { fence } else { held });
                    }
                    _ if answered => {
                        let lost = after_call(Answer::LeaseLost, attempt.receipt.attempt, policy).attempt;
                        (attempt.phase, attempt.fence, attempt.lost) = (Phase::Ended(lost), None, true);
                    }
                    _ => {}
                }
            }
            Deed::RenewMessage => {
                world.queue.renew(&attempt.receipt);
            }
            Deed::Conclude { answered } => self.conclude(world, slot, &mut attempt, answered),
            Deed::Settle { answered } => {
                self.settle(world, slot, &attempt);
                if answered && matches!(attempt.phase, Phase::Concluded(_)) {
                    world.attempts[slot] = None;
                    return;
                }
            }
            Deed::Crash => {
                for slot in world.in_hand(slot).collect::<Vec<usize>>() {
                    forget_holder(world, slot);
                    world.attempts[slot] = None;
                }
                return;
            }
        }
        world.attempts[slot] = Some(attempt);
    }

    fn claim(&self, world: &mut World, message: u32) -> Option<Receipt> {
        let mut receipt = world.queue.claim(message)?;
        // One attempt beyond the policy's stands for all of them.
        let most = self.setting.max_attempts + 1;
        receipt.attempt = receipt.attempt.min(most);
        world.queue.cap_attempts(most);
        if self.lacks(Guard::LeaseOnClaim) {
            world.queue.lose(message);
        }
        Some(receipt)
    }

    fn begin(&self, world: &mut World, slot: usize, attempt: &mut Attempt, answered: bool) {
        let order = attempt.receipt.order;
        if self.lacks(Guard::TakeoverLease) && world.store.rows[order].state == State::Processing {
            world.store.end_lease(order);
        }
        let is_held = world.store.held.contains(&order);
        if self.lacks(Guard::Hold) {
            world.store.held.remove(&order);
        }
        let begun = world.store.begin(&attempt.receipt);
        if is_held && matches!(begun, Begun::Started { .. }) {
            self.break_promise(world, Promise::HeldBegun);
        }
        if let Begun::Started { fence, takeover, .. } = begun {
            world.witnesses[order].holder = answered.then_some(slot);
            if answered {
                (attempt.fence, attempt.phase) = (Some(fence), Phase::Begun { takeover });
            }
        } else if answered
            && let Next::End(outcome) = after_begin(begun, attempt.receipt.attempt, false, &self.setting.policy())
        {
            attempt.phase = Phase::Ended(outcome);
        }
    }

    /// What follows the begin of a row that the worker was given.
    pub(crate) fn decide(&self, attempt: &Attempt, takeover: bool, handing_back: bool) -> Next {
        let Receipt { order: index, attempt: number, .. } = attempt.receipt;
        let takeover = takeover && !self.lacks(Guard::ParkAfterTakeover);
        let fence = attempt.fence.unwrap_or(Fence(0));
        let begun = Begun::Started { order: order(index, number), fence, takeover, waited: None };
        after_begin(begun, number, handing_back, &self.setting.policy())
    }

    /// Calls, unless the engine decides otherwise.
    fn call(&self, world: &mut World, slot: usize, attempt: &mut Attempt, done: bool) {
        let order = match attempt.phase {
            Phase::Begun { takeover } => match self.decide(attempt, takeover, false) {
                Next::Call(order) => order,
                Next::End(outcome) => {
                    attempt.phase = Phase::Ended(outcome);
                    return;
                }
            },
            // Only without the guard that keeps it from being called for.
            _ => order(attempt.receipt.order, attempt.receipt.attempt),
        };
        if world.place_is_taken(slot) {
            self.break_promise(world, Promise::CalledWithoutPlace);
        }
        let index = attempt.receipt.order;
        let is_live = |other: &Attempt| {
            matches!(other.phase, Phase::Calling { .. }) && other.receipt.order == index && !other.outlived
        };
        if !attempt.outlived && world.attempts.iter().flatten().any(is_live) {
            self.break_promise(world, Promise::LiveWorkRepeated);
        }
        if self.setting.parking {
            if world.witnesses[index].doubtful_calls > 0 {
                self.break_promise(world, Promise::CalledTwice);
            }
            let calls = &mut world.witnesses[index].doubtful_calls;
            *calls = (*calls + 1).min(2);
        }
        if done {
            let under = 1 << self.key(index, order.attempt);
            if world.witnesses[index].done_under & !under != 0 {
                self.break_promise(world, Promise::DoneTwice);
            }
            world.witnesses[index].done_under |= under;
        }
        if matches!(attempt.phase, Phase::Begun { .. }) {
            attempt.phase = Phase::Calling { done };
        }
    }

    /// Which of its keys an order's call carries at this attempt. The worker's own function makes them.
    fn key(&self, index: usize, attempt: u32) -> u32 {
        let key = |attempt: u32| order(index, attempt).idempotency_key();
        let earlier = |earlier: &u32| !self.lacks(Guard::SameKey) && key(*earlier) == key(attempt);
        (1..attempt).find(earlier).unwrap_or(attempt)
    }

    fn conclude(&self, world: &mut World, slot: usize, attempt: &mut Attempt, answered: bool) {
        let Phase::Ended(outcome) = attempt.phase.clone() else { return };
        let was_begun = attempt.lost || attempt.fence.is_some();
        let verdict = match (target(&outcome), attempt.fence) {
            (Some(to), Some(fence)) => Some(self.write(world, slot, attempt, &to, fence)),
            // It asks under a fence that no row has any more.
            _ if attempt.lost && !self.lacks(Guard::LookAtLostRow) => {
                let is_gone = world.store.gone.contains(&attempt.receipt.order);
                is_gone.then_some(Verdict::Superseded(None))
            }
            _ => None,
        };
        if let (AttemptOutcome::DeadLetter { reason, .. }, false) = (&outcome, was_begun) {
            world.store.insert_letter(&attempt.receipt, *reason);
        }
        if !answered {
            attempt.maybe_applied = true;
            return;
        }
        let is_gone = verdict == Some(Verdict::Superseded(None));
        let outcome = match verdict {
            Some(Verdict::Superseded(None)) if self.lacks(Guard::LetterOfGoneRow) => AttemptOutcome::AlreadyFinal,
            Some(verdict) => after_verdict(&verdict, outcome, &known(&attempt.receipt), &self.setting.policy()),
            None => outcome,
        };
        let has_letter = matches!(outcome, AttemptOutcome::DeadLetter { .. });
        if was_begun && world.store.gone.contains(&attempt.receipt.order) && !has_letter {
            self.break_promise(world, Promise::GoneUnnamed);
        }
        // Its letter is another step.
        attempt.phase = if is_gone && has_letter { Phase::Ended(outcome) } else { Phase::Concluded(outcome) };
        (attempt.fence, attempt.maybe_applied, attempt.outlived, attempt.lost) = (None, false, false, false);
        forget_holder(world, slot);
    }

    /// Writes how an attempt ended, as the guards allow or as they would with one left out.
    fn write(&self, world: &mut World, slot: usize, attempt: &Attempt, to: &State, held: Fence) -> Verdict {
        let Receipt { order, attempt: number, .. } = attempt.receipt;
        let before = world.store.written.len();
        let verdict = if self.lacks(Guard::StateAndFence) {
            world.store.write(order, to.clone(), Some(number));
            Verdict::Done { age: None }
        } else {
            let held = if self.lacks(Guard::Fence) { world.store.rows[order].fence } else { held };
            world.store.conclude(&attempt.receipt, held, to, attempt.maybe_applied)
        };
        if world.store.written.len() > before {
            let holder = world.witnesses[order].holder.take();
            if holder != Some(slot) {
                self.break_promise(world, Promise::StaleWrite);
            }
        }
        verdict
    }

    fn settle(&self, world: &mut World, slot: usize, attempt: &Attempt) {
        // Ended only without the guard that keeps it from being too early.
        let (Phase::Ended(outcome) | Phase::Concluded(outcome)) = &attempt.phase else { return };
        let order = attempt.receipt.order;
        let disposition = match goes_back(outcome) {
            Some(spent) => Disposition::Retry { after: Duration::ZERO, spent },
            None => Disposition::Ack,
        };
        if world.queue.settle(&attempt.receipt, disposition) {
            if disposition == Disposition::Ack && !is_over(&world.store.rows[order].state) {
                match world.store.row(order) {
                    Some(_) => self.break_promise(world, Promise::AcknowledgedEarly),
                    None if world.has_letter(order) => {}
                    None => self.break_promise(world, Promise::GoneUntold),
                }
            }
            if disposition != Disposition::Ack && world.witnesses[order].holder == Some(slot) {
                self.break_promise(world, Promise::PutBackHeld);
            }
        } else if self.lacks(Guard::LeaseOnClaim) && disposition != Disposition::Ack && self.has_room(world, order) {
            world.queue.push(order);
        }
    }

    /// Looks at what the step has written.
    fn judge_transitions(&self, world: &mut World) {
        for transition in std::mem::take(&mut world.store.written) {
            if transition.fence <= transition.from.fence {
                self.break_promise(world, Promise::FenceStood);
            }
            if is_over(&transition.from.state) {
                self.break_promise(world, Promise::FinalWritten);
                if transition.from.state != transition.to {
                    self.break_promise(world, Promise::FinalChanged);
                }
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

impl Reply {
    fn says_that_nothing_was_done(self) -> bool {
        matches!(self, Self::Failed | Self::Unavailable | Self::Rejected)
    }

    fn answer(self) -> Answer {
        let (reason, after) = (String::new(), None);
        Answer::Outcome(match self {
            Self::Fulfilled => Outcome::Fulfilled { reference: None },
            Self::Failed => Outcome::Retry { reason, after },
            Self::Unavailable => Outcome::Unavailable { reason, after },
            Self::Rejected => Outcome::Rejected { reason },
            Self::InProgress => Outcome::InProgress { reason, after },
            Self::Unsure => Outcome::Ambiguous { reason, after, spent: false },
            Self::Nothing => return Answer::TimedOut(Duration::ZERO),
        })
    }
}

fn forget_holder(world: &mut World, slot: usize) {
    for witness in &mut world.witnesses {
        witness.holder = witness.holder.filter(|holder| *holder != slot);
    }
}

fn row_lease_ends(world: &mut World, order: usize) {
    world.store.end_lease(order);
    if let Some(holder) = world.witnesses[order].holder
        && let Some(attempt) = &mut world.attempts[holder]
        && attempt.receipt.order == order
        && matches!(attempt.phase, Phase::Begun { .. } | Phase::Calling { .. })
    {
        attempt.outlived = true;
    }
}

/// What a worker knows of its attempt. How the call ended stands in a letter's words alone.
fn known(receipt: &Receipt) -> decision::Attempt {
    let key = order(receipt.order, receipt.attempt).idempotency_key();
    decision::Attempt { number: receipt.attempt, key, call: None, reference: None }
}
