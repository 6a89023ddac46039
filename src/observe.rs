//! Metrics, health, logs and traces: what operators see of the events.

pub mod health;
pub mod latest;
pub mod logging;
pub mod metrics;
pub mod trace;
pub mod trends;

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
