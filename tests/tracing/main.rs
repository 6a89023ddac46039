//! The real binary exports traces to a collector, which may be in trouble. Started by `make test`, which starts the servers.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can't go on has failed"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

mod collector;
mod configuration;
mod exemplars;
mod place;
mod spans;
mod trouble;
