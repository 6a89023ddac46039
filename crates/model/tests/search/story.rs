//! Tells a path through the model in sentences.

use fulfillment_worker::domain::order::State;
use stateright::Path;

use crate::protocol::{Action, Deed, Reply};
use crate::world::{Attempt, HANDS, Phase, World, goes_back};

/// One sentence a step, numbered from 1.
pub(crate) fn tell(path: Path<World, Action>) -> Vec<String> {
    let steps = path.into_vec();
    let told = steps.windows(2).filter_map(|pair| match pair {
        [(before, Some(action)), (after, _)] => Some(sentence(before, *action, after)),
        _ => None,
    });
    told.enumerate().map(|(number, sentence)| format!("{:>2}. {sentence}", number + 1)).collect()
}

fn sentence(before: &World, action: Action, after: &World) -> String {
    let of_message = |message| of(before.queue.message(message).map_or(0, |message| message.order));
    match action {
        Action::Of(slot, deed) => format!("{} {}", ["Ann", "Bob"][slot / HANDS], deed_of(before, slot, deed, after)),
        Action::ClaimUnanswered { message } => {
            format!("the queue hands out the message of {}, and the answer gets lost", of_message(message))
        }
        Action::RowLeaseEnds { order } => format!("the lease of the row of {} runs out", of(order)),
        Action::MessageLeaseEnds { message } => format!("the lease of the message of {} runs out", of_message(message)),
        Action::MessageLost { message } => format!("the queue loses the message of {}", of_message(message)),
        Action::MessageRepeated { order } => format!("another message for {} is put in", of(order)),
        Action::Reconcile { order } => format!("the reconciler puts in a message for {}", of(order)),
        Action::ReconcilerLooks { order } => format!("the reconciler finds {} abandoned", of(order)),
        Action::ReconcilerResets => {
            let order = before.about_to_reset.unwrap_or_default();
            format!("the reconciler puts {} back, {}", of(order), transition(before, after, order))
        }
        Action::Cancel { order } => format!("the order API cancels {}", of(order)),
        Action::CallOff { order } => format!("an operator cancels {}", of(order)),
        Action::OperatorLooks { order } => format!("an operator finds {} open", of(order)),
        Action::OperatorCancels => "the operator cancels what was found open".to_owned(),
        Action::Hold { order } => format!("an operator holds {}", of(order)),
        Action::Release { order } => format!("an operator releases {}", of(order)),
        Action::RowVanishes { order } => format!("the row of {} vanishes", of(order)),
    }
}

fn deed_of(before: &World, slot: usize, deed: Deed, after: &World) -> String {
    let receipt = [after, before].map(|world| world.attempts[slot].as_ref().map(|attempt| attempt.receipt));
    let Some(receipt) = receipt[1].or(receipt[0]) else { return "does nothing".to_owned() };
    let order = receipt.order;
    let moved = || transition(before, after, order);
    let attempt = after.attempts[slot].as_ref();
    match deed {
        Deed::Claim { .. } => format!("claims the message of {}, attempt {}", of(order), receipt.attempt),
        Deed::Begin { answered: true } => begun(before, after, order),
        Deed::Begin { .. } => format!("takes {}, {}, and the answer gets lost", of(order), moved()),
        Deed::Call { .. } if attempt.is_some_and(|attempt| matches!(attempt.phase, Phase::Ended(_))) => {
            format!("gives {} up without a call", of(order))
        }
        Deed::Call { done: true } => format!("calls the warehouse for {}, which does the work", of(order)),
        Deed::Call { .. } => format!("calls the warehouse for {}, which does nothing", of(order)),
        Deed::Hear(reply) => heard(reply).to_owned(),
        Deed::HandBack => "is told to drain and breaks off".to_owned(),
        Deed::PassOver => format!("finds no place for its call for {}", of(order)),
        Deed::RenewRow { answered: false } => format!("renews the row of {}, and the answer gets lost", of(order)),
        Deed::RenewRow { .. } if attempt.is_none_or(|attempt| attempt.fence.is_none()) => {
            format!("finds that it lost {}", of(order))
        }
        Deed::RenewRow { .. } => format!("renews the row of {}, {}", of(order), moved()),
        Deed::RenewMessage => format!("renews the message of {}", of(order)),
        Deed::Conclude { answered } if was_written(before, after, order) => {
            format!("writes {}, {}{}", of(order), moved(), lost(answered))
        }
        Deed::Conclude { answered } if before.store.letters != after.store.letters => {
            format!("keeps a letter of {}{}", of(order), lost(answered))
        }
        Deed::Conclude { answered: false } => "asks for its conclusion to be written, and gets no answer".to_owned(),
        Deed::Conclude { .. } => match before.attempts[slot].as_ref().and_then(|attempt| attempt.fence) {
            Some(_) if before.store.gone.contains(&order) => format!("finds the row of {} gone", of(order)),
            Some(fence) => format!("finds {} moved on from fence {}", of(order), fence.0),
            None => "has nothing to write".to_owned(),
        },
        Deed::Settle { answered } => format!("{}{}", settled(before, slot, after, order), lost(answered)),
        Deed::Crash => "is killed".to_owned(),
    }
}

fn heard(reply: Reply) -> &'static str {
    match reply {
        Reply::Fulfilled => "learns that it is done",
        Reply::Failed => "learns that it failed and nothing was done",
        Reply::Unavailable => "learns that the warehouse can't now and nothing was done",
        Reply::Rejected => "learns that it will never be done",
        Reply::InProgress => "learns that the warehouse has it in work",
        Reply::Unsure => "gets an answer that leaves open whether it is done",
        Reply::Nothing => "gets no answer",
    }
}

fn lost(answered: bool) -> &'static str {
    if answered { "" } else { ", and the answer gets lost" }
}

fn begun(before: &World, after: &World, order: usize) -> String {
    if before.store.gone.contains(&order) {
        return format!("finds no row of {}", of(order));
    }
    let state = &before.store.rows[order].state;
    match (was_written(before, after, order), state) {
        (true, State::Processing) => format!("takes over {}, {}", of(order), transition(before, after, order)),
        (true, _) => format!("takes {}, {}", of(order), transition(before, after, order)),
        (false, State::Processing) => format!("finds {} in other hands", of(order)),
        (false, _) => format!("finds {} {}", of(order), state.as_str()),
    }
}

fn settled(before: &World, slot: usize, after: &World, order: usize) -> String {
    if before.queue == after.queue {
        return format!("finds that the message of {} is no longer its own", of(order));
    }
    match &before.attempts[slot] {
        Some(Attempt { phase: Phase::Ended(outcome) | Phase::Concluded(outcome), .. })
            if goes_back(outcome).is_some() =>
        {
            format!("puts the message of {} back", of(order))
        }
        _ => format!("acknowledges the message of {}", of(order)),
    }
}

fn was_written(before: &World, after: &World, order: usize) -> bool {
    let row = |world: &World| (world.store.rows[order].state.clone(), world.store.rows[order].fence);
    row(before) != row(after)
}

fn transition(before: &World, after: &World, order: usize) -> String {
    let (from, to) = (&before.store.rows[order], &after.store.rows[order]);
    format!("{} → {} at fence {}", from.state.as_str(), to.state.as_str(), to.fence.0)
}

fn of(order: usize) -> String {
    format!("order {}", order + 1)
}
