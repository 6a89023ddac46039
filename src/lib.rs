//! The fulfillment worker as a library. Start with [`order`] (what may happen to an order), then follow one order
//! through [`worker`], [`completer`] and back; ARCHITECTURE.md has the map.

pub mod admin;
pub mod backend;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod domain;
pub mod engine;
pub mod event;
pub mod observe;
pub mod operations;
pub mod port;
pub mod service;
pub mod testing;

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
