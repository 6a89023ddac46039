//! Stand-ins for what surrounds an engine: a fulfiller that answers by a script, and an observer that keeps what happened.

mod fulfiller;
mod observer;

pub use fulfiller::{Answer, Call, ScriptedFulfiller};
pub use observer::Recorder;
