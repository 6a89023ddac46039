//! The protocol of the worker as a model, see `docs/MODEL.md`.
//!
//! [`Store`] and [`Queue`] hold the rules of a row and of a message, once. Two drivers stand on them:
//!
//! - `tests/search` puts workers on top and searches every order of their steps (stateright).
//! - [`sequence`] draws random steps (proptest), which the conformance suite repeats at real backends.
//!
//! The model writes no decision of the worker again: it calls [`admit`](fulfillment_worker::domain::order::admit) and
//! `RetryStep::of` for rows and letters, and the search calls `engine::decision::after_*` for attempts.

#![expect(missing_docs, reason = "fields of steps and answers say it with their names")]

mod agreement;
mod queue;
pub mod sequence;
mod store;

pub use queue::{Message, Place, Queue, Receipt};
pub use store::{Letter, Store, Transition, order};
