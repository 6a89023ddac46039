//! What bit others. Each test is an incident of another project, named after its thread, with what happened there and
//! what holds here; `docs/INCIDENTS.md` is the list. Real servers, and the real binary where it is about processes.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test that can't go on has failed")]

#[path = "../support/fault_proxy.rs"]
#[expect(dead_code, reason = "shared with the soak, which does all of it to its connections")]
mod proxy;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;
#[path = "../support/warehouse.rs"]
#[expect(dead_code, reason = "shared with the tests of the warehouse itself, which use all of it")]
mod warehouse;

mod blocked_threads;
mod leases;
mod redis_restarts;
mod rescue;
