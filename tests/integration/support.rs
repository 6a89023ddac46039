//! What tests share: real servers of their own, the real binary as a process, and waiting for a condition.
//!
//! Everything that starts a process ends it when dropped. A test never pauses for a time: it waits for what it wants
//! to see with [`eventually`], and fails saying what it saw last.

use std::fmt::Display;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::Mutex;
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

/// A TCP port that is free now, and that no other test of this process was given. It is none of those that the kernel
/// gives to connections and to whoever asks for any port, so that nobody has it by chance when its server starts.
pub(crate) fn free_port() -> u16 {
    const BELOW_EPHEMERAL: Range<u16> = 10_000..32_768;
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().expect("no test panics in here");
    for _ in BELOW_EPHEMERAL {
        // Somewhere else in each process, as the tests of another checkout may run beside these.
        let port = next.map_or_else(|| rand::random_range(BELOW_EPHEMERAL), |port| port + 1);
        let port = if BELOW_EPHEMERAL.contains(&port) { port } else { BELOW_EPHEMERAL.start };
        *next = Some(port);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {BELOW_EPHEMERAL:?} is free")
}
