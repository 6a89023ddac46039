//! The fulfiller over HTTP against real sockets: what it sends, how it reads answers, and what it does when there is
//! none.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can't go on has failed, and says so"
)]
#![allow(dead_code, clippy::allow_attributes, reason = "other tests use the rest of what is shared")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/python.rs"]
mod python;

mod answers;
mod breaker;
mod limits;
mod peer;
mod polling;
mod requests;
mod rig;
mod tls;
mod warehouse;
#[path = "../support/warehouse.rs"]
mod warehouse_process;
mod wire;
