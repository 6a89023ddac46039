//! Back-pressure: what a worker does while its store, its queue or its warehouse is slow, and while messages come that
//! nobody can do anything with. Real processes throughout. `make pressure` runs it at full size and prints the tables of
//! docs/RELIABILITY.md.

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
