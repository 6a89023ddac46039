//! Metrics, health, logs and traces: what operators see of the events.

pub mod health;
pub mod logging;
pub mod metrics;
pub mod trace;
