//! Checks of the repository itself: what may import what, links, and what comes with the worker for whoever runs it. No
//! server is needed. `make lint` runs them, by `cargo test --test checks`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check ends at the first thing that isn't as it should be"
)]

mod advice;
mod architecture;
mod documentation;
mod migrations;
mod operations;
mod packaging;
mod sinks;
mod workspace;
