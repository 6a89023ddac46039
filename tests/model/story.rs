//! Tells a path through the model in sentences.

use stateright::Path;

use crate::protocol::Action;
use crate::state::{Disposition, Ending, Phase, Status, World};

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
    match action {
        Action::Claim { worker, order, .. } => {
            let attempt = after.workers[worker].attempt;
            format!("{} claims the message of {}, attempt {attempt}", name(worker), of(order))
        }
        Action::ClaimUnanswered { order, .. } => {
            format!("the queue hands out the message of {}, and the answer gets lost", of(order))
        }
        Action::RowLeaseEnds { order } => format!("the lease of the row of {} runs out", of(order)),
        Action::MessageLeaseEnds { order, .. } => format!("the lease of the message of {} runs out", of(order)),
        Action::MessageLost { order, .. } => format!("the queue loses the message of {}", of(order)),
        Action::MessageRepeated { order } => format!("another message for {} is put in", of(order)),
        Action::Reconcile { order } => format!("the reconciler puts in a message for {}", of(order)),
        Action::ReconcilerLooks { order } => format!("the reconciler finds {} abandoned", of(order)),
        Action::ReconcilerResets => {
            let order = before.about_to_reset.unwrap_or_default();
            format!("the reconciler puts {} back, {}", of(order), transition(before, after, order))
        }
        Action::Cancel { order } => format!("the order API cancels {}", of(order)),
        Action::Begin { worker }
        | Action::BeginUnanswered { worker }
        | Action::Call { worker, .. }
        | Action::AnswerFulfilled { worker }
        | Action::AnswerFailed { worker }
        | Action::AnswerUnavailable { worker }
        | Action::AnswerRejected { worker }
        | Action::NoAnswer { worker }
        | Action::HandBack { worker }
        | Action::RenewRow { worker }
        | Action::RenewRowUnanswered { worker }
        | Action::RenewMessage { worker }
        | Action::Conclude { worker }
        | Action::ConcludeUnanswered { worker }
        | Action::Settle { worker }
        | Action::SettleUnanswered { worker }
        | Action::Crash { worker } => format!("{} {}", name(worker), deed(before, action, after, worker)),
    }
}

fn deed(before: &World, action: Action, after: &World, worker: usize) -> String {
    let order = before.workers[worker].order;
    let moved = || transition(before, after, order);
    match action {
        Action::Begin { .. } => begun(before, after, worker),
        Action::BeginUnanswered { .. } => format!("takes {}, {}, and the answer gets lost", of(order), moved()),
        Action::Call { done: true, .. } => format!("calls the warehouse for {}, which does the work", of(order)),
        Action::Call { done: false, .. } => format!("calls the warehouse for {}, which does nothing", of(order)),
        Action::AnswerFulfilled { .. } => "learns that it is done".to_owned(),
        Action::AnswerFailed { .. } => "learns that it failed and nothing was done".to_owned(),
        Action::AnswerUnavailable { .. } => "learns that the warehouse can't now and nothing was done".to_owned(),
        Action::AnswerRejected { .. } => "learns that it will never be done".to_owned(),
        Action::NoAnswer { .. } => "gets no answer".to_owned(),
        Action::HandBack { .. } => "is told to drain and breaks off".to_owned(),
        Action::RenewRow { .. } if after.workers[worker].fence.is_none() => format!("finds that it lost {}", of(order)),
        Action::RenewRow { .. } => format!("renews the row of {}, {}", of(order), moved()),
        Action::RenewRowUnanswered { .. } => format!("renews the row of {}, and the answer gets lost", of(order)),
        Action::RenewMessage { .. } => format!("renews the message of {}", of(order)),
        Action::Conclude { .. } => concluded(before, after, worker),
        Action::ConcludeUnanswered { .. } if !was_written(before, after, order) => {
            "asks for its conclusion to be written, and gets no answer".to_owned()
        }
        Action::ConcludeUnanswered { .. } => format!("writes {}, {}, and the answer gets lost", of(order), moved()),
        Action::Settle { .. } => settled(before, after, worker),
        Action::SettleUnanswered { .. } => format!("{}, and the answer gets lost", settled(before, after, worker)),
        _ => "is killed".to_owned(),
    }
}

fn begun(before: &World, after: &World, worker: usize) -> String {
    let order = before.workers[worker].order;
    let takeover = before.orders[order].status == Status::Processing;
    match after.workers[worker].phase {
        Phase::Ended(Ending::Retry { .. }) => format!("finds {} in other hands", of(order)),
        Phase::Ended(Ending::Over) => format!("finds {} {}", of(order), status(before.orders[order].status)),
        phase => {
            let verb = if takeover { "takes over" } else { "takes" };
            let then = if phase == Phase::Begun { "" } else { ", and gives it up" };
            format!("{verb} {}, {}{then}", of(order), transition(before, after, order))
        }
    }
}

fn concluded(before: &World, after: &World, worker: usize) -> String {
    let order = before.workers[worker].order;
    if was_written(before, after, order) {
        return format!("writes {}, {}", of(order), transition(before, after, order));
    }
    match before.workers[worker].fence {
        Some(fence) => format!("finds {} moved on from fence {fence}", of(order)),
        None => "has nothing to write".to_owned(),
    }
}

fn settled(before: &World, after: &World, worker: usize) -> String {
    let order = before.workers[worker].order;
    if before.orders[order].messages == after.orders[order].messages {
        return format!("finds that the message of {} is no longer its own", of(order));
    }
    match before.workers[worker].phase {
        Phase::Concluded(Disposition::Retry { .. }) | Phase::Ended(Ending::Retry { .. }) => {
            format!("puts the message of {} back", of(order))
        }
        _ => format!("acknowledges the message of {}", of(order)),
    }
}

fn was_written(before: &World, after: &World, order: usize) -> bool {
    let row = |world: &World| (world.orders[order].status, world.orders[order].fence);
    row(before) != row(after)
}

fn transition(before: &World, after: &World, order: usize) -> String {
    let (from, to) = (&before.orders[order], &after.orders[order]);
    format!("{} → {} at fence {}", status(from.status), status(to.status), to.fence)
}

fn status(status: Status) -> String {
    status.row_state().as_str().to_owned()
}

fn name(worker: usize) -> &'static str {
    ["Ann", "Bob"][worker]
}

fn of(order: usize) -> String {
    format!("order {}", order + 1)
}
