//! The commands for dead letters: the real binary on an embedded database, and on Redis and Postgres with a worker and a
//! warehouse beside it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can't go on has failed"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;
#[path = "../support/warehouse.rs"]
#[expect(dead_code, reason = "shared with the tests of the warehouse itself, which use all of it")]
mod warehouse;

mod deciding;
mod looking;
mod place;
mod redriving;
