//! What operators set, as log lines.

use parking_lot::Mutex;
use std::time::Instant;
use tracing::{info, warn};

use super::rate_limit::RateLimit;
use crate::domain::label::Label;
use crate::event::ControlsEvent;
use crate::port::controls::{Control, InForce, SetControl, Target};

/// Logs what changes.
#[derive(Debug)]
pub(super) struct ControlsLog {
    last: Mutex<InForce>,
    unread: RateLimit,
}

impl ControlsLog {
    /// A line about a store that gives no answer, within the limit.
    pub(super) fn new(unread: RateLimit) -> Self {
        Self { last: Mutex::default(), unread }
    }

    pub(super) fn observe(&self, event: &ControlsEvent<'_>, now: Instant) {
        match *event {
            ControlsEvent::InForce(in_force) => {
                let last = std::mem::replace(&mut *self.last.lock(), in_force.clone());
                in_force.controls.iter().filter(|set| !has(&last, set)).for_each(set);
                last.controls.iter().filter(|old| !replaced(in_force, old)).for_each(ended);
            }
            ControlsEvent::Read => {}
            ControlsEvent::Unread { error, known } => {
                if self.unread.admit(now) {
                    let until_then =
                        if known { "what was read last stays in force" } else { "nothing is claimed until then" };
                    warn!(error, "what operators have set can't be read; {until_then}");
                }
            }
        }
    }
}

fn has(in_force: &InForce, set: &SetControl) -> bool {
    let same = |other: &SetControl| {
        InForce { controls: vec![other.clone()] }.says_the_same(&InForce { controls: vec![set.clone()] })
    };
    in_force.controls.iter().any(same)
}

/// By one of the same kind and target.
fn replaced(in_force: &InForce, old: &SetControl) -> bool {
    in_force.controls.iter().any(|set| (set.control, &set.target) == (old.control, &old.target))
}

fn whom(target: &Target) -> &'static str {
    match target {
        Target::Fleet => "fleet",
        Target::Worker(_) => "this worker",
    }
}

fn set(set: &SetControl) {
    let SetControl { control, target, value, decision, .. } = set;
    let (by, why, target) = (decision.by.as_str(), decision.reason.as_str(), whom(target));
    match control {
        Control::Pause => {
            warn!(target, by, why, "paused by an operator: nothing is claimed, and calls under way finish");
        }
        Control::Concurrency | Control::Rate => {
            info!(target, limit = control.as_str(), value, by, why, "limited by an operator");
        }
    }
}

fn ended(old: &SetControl) {
    let target = whom(&old.target);
    match old.control {
        Control::Pause => info!(target, "resumed: messages are claimed again unless something else is paused"),
        Control::Concurrency | Control::Rate => {
            info!(target, limit = old.control.as_str(), "no longer limited by an operator");
        }
    }
}
