//! For tests of programs that embed [`fulfillment_worker`], and of backends that others write for it. It uses nothing but the
//! worker's public API, and no server.
//!
//! - [`memory`]: a queue and a store in memory, with a clock that a test moves on.
//! - [`doubles`]: a fulfiller that answers by a script and notes its calls, and an observer that keeps what happened.
//! - [`conformance`]: the cases that every backend must pass, those of the worker's own among them.
//!
//! A fulfiller in an engine, from a pushed message to the row's last state:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use fulfillment_worker::domain::order::State;
//! use fulfillment_worker::prelude::*;
//! use fulfillment_worker_testkit::doubles::{Answer, ScriptedFulfiller};
//! use fulfillment_worker_testkit::memory::Memory;
//!
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! let memory = Memory::new();
//! let warehouse = Arc::new(ScriptedFulfiller::answering([
//!     Answer::Retry("the door is locked"),
//!     Answer::Fulfilled,
//! ]));
//! let order = memory.place("lamp", 2);
//!
//! let drain = CancellationToken::new();
//! let running = tokio::spawn(memory.engine(warehouse.clone(), vec![])?.run(drain.clone()));
//! assert_eq!(memory.finished(order, Duration::from_secs(60)).await, Some(State::Fulfilled));
//!
//! drain.cancel();
//! running.await?;
//! let calls = warehouse.calls();
//! assert_eq!(calls.len(), 2);
//! assert_eq!(calls[0].key, calls[1].key, "each attempt has the same key");
//! # Ok(()) }
//! ```

/// Its Rust blocks are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/EMBEDDING.md")]
struct Embedding;

pub mod conformance;
pub mod doubles;
pub mod memory;
