//! The fulfillment worker as a library. Start with [`order`] (what may happen to an order), then follow one order
//! through [`worker`], [`completer`] and back; ARCHITECTURE.md has the map.

mod admission;
pub mod app;
mod call_times;
mod canary;
pub mod cli;
pub mod completer;
pub mod config;
pub mod engine;
pub mod event;
#[cfg(feature = "faults")]
pub mod failpoint;
pub mod fulfiller;
pub mod health;
pub mod http;
mod in_hand;
pub mod intake;
pub mod lease;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod mutant;
pub mod order;
mod pressure;
pub mod queue;
pub mod reconciler;
pub mod redrive;
pub mod retry;
pub mod service;
pub mod shutdown;
pub mod sqlite;
pub mod store;
pub mod trace;
pub mod verification;
pub mod warehouse;
pub mod worker;

use std::fmt;

/// Who this process is, fresh with every start: a name that is used again would hide a dead worker behind a living
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerId(String);

impl WorkerId {
    /// 64 random bits as 16 hex digits.
    pub fn fresh() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()))
    }

    /// As in the timeline, in claim tokens and logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
