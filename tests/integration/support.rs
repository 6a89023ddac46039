//! What tests share: real servers of their own, the real binary as a process, and waiting for a condition.
//!
//! Everything that starts a process ends it when dropped. A test never pauses for a time: it waits for what it wants
//! to see with [`eventually`], and fails saying what it saw last.

use std::fmt::Display;
use std::time::{Duration, Instant};

pub(crate) mod again;
pub(crate) mod browser;
pub(crate) mod clock;
pub(crate) mod evidence;
pub(crate) mod fault_proxy;
pub(crate) mod http;
pub(crate) mod metrics;
pub(crate) mod operator;
pub(crate) mod orders;
pub(crate) mod pages;
pub(crate) mod planted;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod promises;
pub(crate) mod python;
pub(crate) mod redis;
pub(crate) mod roles;
pub(crate) mod small_disk;
pub(crate) mod systemd;
pub(crate) mod version;
pub(crate) mod warehouse;
pub(crate) mod worker;
pub(crate) mod zones;

pub(crate) use ports::free_port;

/// Longer than anything a test waits for takes, even on a busy machine: only a failing test gets there.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What a busy machine may add to a time that is promised. A test that measures such a time has a fault to catch that adds
/// more.
pub(crate) const BUSY: Duration = Duration::from_secs(20);

/// Polls until `look` answers `Ok`, and returns what it found. The only place that pauses.
///
/// # Panics
/// After `limit`, with `what` was waited for and what `look` saw last.
pub(crate) async fn eventually<T, E: Display>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if started.elapsed() > limit => {
                panic!("waited {limit:?} for this, in vain: {what}; saw last: {seen}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// For [`eventually`]: whether `found` is what is waited for.
pub(crate) fn expect_equal<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
}
