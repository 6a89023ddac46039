//! The reference warehouse as a process: that it keeps to its own description, ships a key once, and misbehaves as it
//! is told.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test that can't go on has failed")]

#[path = "../support/python.rs"]
mod python;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;
#[path = "../support/warehouse.rs"]
mod warehouse;

mod access;
mod behaviour;
mod contract;
mod keys;
mod misbehaviour;
mod record;
