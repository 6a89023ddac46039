//! What the entries of a timeline mean: where an attempt begins and ends, and what people did in between.

use crate::operations::documents::orders::EntryDocument;
use crate::port::store::TAKEN_OVER;

/// One entry of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A worker begins an attempt.
    Began,
    /// A worker begins an attempt of an order that another one had in hand and fell silent about.
    TookOver,
    /// The attempt has ended, and there will be another one.
    Retried,
    /// It is done.
    Fulfilled,
    /// It is given up.
    Failed,
    /// It is called off.
    Cancelled,
    /// A person, or what a person set off, put the order back or noted something about it.
    Decided,
}

impl Step {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Began => "attempt begins",
            Self::TookOver => "taken over",
            Self::Retried => "attempt ends, to be tried again",
            Self::Fulfilled => "fulfilled",
            Self::Failed => "given up",
            Self::Cancelled => "cancelled",
            Self::Decided => "decision",
        }
    }
}

/// What each entry of a timeline, oldest first, means.
pub(super) fn steps(timeline: &[EntryDocument]) -> Vec<Step> {
    let mut in_hand: Option<&EntryDocument> = None;
    let mut steps = Vec::with_capacity(timeline.len());
    for entry in timeline {
        let step = step(entry, in_hand);
        in_hand = match step {
            Step::Began | Step::TookOver => Some(entry),
            // A note on an order in hand leaves it there.
            Step::Decided if entry.state == "processing" => in_hand,
            _ => None,
        };
        steps.push(step);
    }
    steps
}

fn step(entry: &EntryDocument, in_hand: Option<&EntryDocument>) -> Step {
    match (entry.state.as_str(), in_hand) {
        ("processing", _) if entry.note.as_deref() == Some(TAKEN_OVER) => Step::TookOver,
        ("processing", None) => Step::Began,
        // A decision about an order in hand has the worker of the attempt, and says who decided.
        ("processing", Some(began)) if entry.note.is_some() && entry.worker == began.worker => Step::Decided,
        ("processing", Some(_)) => Step::TookOver,
        ("pending", Some(_)) if entry.attempt > 0 => Step::Retried,
        ("fulfilled", _) => Step::Fulfilled,
        ("failed", _) => Step::Failed,
        ("cancelled", _) => Step::Cancelled,
        _ => Step::Decided,
    }
}

/// The hold of an order, as far as its timeline says that it is held.
pub(super) fn hold(timeline: &[EntryDocument]) -> Option<&EntryDocument> {
    let begins = |entry: &EntryDocument, word: &str| entry.note.as_deref().is_some_and(|note| note.starts_with(word));
    let is_hold = |entry: &EntryDocument| begins(entry, "held ");
    timeline
        .iter()
        .zip(steps(timeline))
        .rev()
        .find(|(entry, step)| *step == Step::Decided && (is_hold(entry) || begins(entry, "released ")))
        .map(|(entry, _)| entry)
        .filter(|entry| is_hold(entry))
}
