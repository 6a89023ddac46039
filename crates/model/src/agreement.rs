//! Whether a backend answers as the model does. Fences and ages are the backend's own.

use std::time::Duration;

use fulfillment_worker::port::store::{Begun, Renewed, Verdict};

use crate::sequence::Answer;

/// More than a step takes.
const SLACK: Duration = Duration::from_secs(120);

fn begun_agrees(found: &Begun, expected: &Begun) -> bool {
    match (found, expected) {
        (Begun::Started { takeover: found, .. }, Begun::Started { takeover: expected, .. }) => found == expected,
        // Of an order that is in somebody's hands and held, either may be told.
        (Begun::Held(_), Begun::Busy(_)) => true,
        (Begun::Busy(found), Begun::Busy(expected)) => found <= expected && *found + SLACK >= *expected,
        _ => found == expected,
    }
}

fn renewed_agrees(found: &Renewed, expected: &Renewed) -> bool {
    matches!((found, expected), (Renewed::Kept(_), Renewed::Kept(_)) | (Renewed::Lost, Renewed::Lost))
}

fn verdict_agrees(found: &Verdict, expected: &Verdict) -> bool {
    match (found, expected) {
        (Verdict::Done { age }, Verdict::Done { .. }) => age.is_some(),
        _ => found == expected,
    }
}

impl Answer {
    /// Whether a backend that gave this answer agrees with the model.
    pub fn agrees(&self, expected: &Self) -> bool {
        match (self, expected) {
            (Self::Begun(found), Self::Begun(expected)) => all(found, expected, begun_agrees),
            (Self::Renewed(found), Self::Renewed(expected)) => all(found, expected, renewed_agrees),
            (Self::Concluded(found), Self::Concluded(expected)) => all(found, expected, verdict_agrees),
            _ => self == expected,
        }
    }
}

fn all<T>(found: &[T], expected: &[T], agrees: fn(&T, &T) -> bool) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| agrees(found, expected))
}
