//! Back-pressure: what a worker does while its store, its queue or its warehouse is slow, and while messages come that
//! nobody can do anything with. Real processes throughout. `make pressure` runs it at full size and prints the tables of
//! docs/RELIABILITY.md.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that can't go on has failed; the figures are for whoever runs it at full size"
)]

#[path = "../support/fault_proxy.rs"]
#[expect(dead_code, reason = "shared with the soak, which also cuts connections and loses replies")]
mod proxy;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use the rest")]
mod support;

mod half_open;
mod labels;
mod memory;
mod neighbours;
mod place;
mod poison;
mod slowness;
mod watch;

/// A number from the environment, for running a test at another size.
fn size(variable: &str, unless_set: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a whole number: {text}")),
        Err(_) => unless_set,
    }
}
