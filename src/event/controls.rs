//! What operators set for this worker.

use crate::port::controls::InForce;

/// Something else is in force, or that could not be read.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ControlsEvent<'a> {
    /// What was read first, or something else than before.
    InForce(&'a InForce),
    /// The store answered, whatever is in force.
    Read,
    /// The store gave no answer. Repeated with each try.
    Unread {
        /// Why.
        error: &'a str,
        /// Whether something was read before, which stays in force. Else the worker claims nothing.
        known: bool,
    },
}
