//! Bugs on purpose, and for each one a scene that it doesn't survive: real servers, real workers, faults that come at
//! the very moment at which the bug matters. `make mutants` prints who caught what.
//!
//! Each scene is played twice: a worker without the bug must come through with every promise kept, then a worker with
//! it must break the one that is named. Nothing looks into a worker: rows, timelines, the warehouse's record and the
//! keys in Redis tell.
//!
//! The reconciler is off where it isn't the point. It makes up for what others lose, and must not hide what the worker
//! loses by itself.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that can't go on has failed; the table is for whoever runs it"
)]

#[path = "../chaos/checker.rs"]
mod checker;
#[path = "../support/evidence.rs"]
mod evidence;
#[path = "../chaos/inject.rs"]
#[expect(dead_code, reason = "the soak's faults, of which the checker knows the names")]
mod inject;
#[path = "../chaos/plan.rs"]
#[expect(dead_code, reason = "as above")]
mod plan;
#[path = "../chaos/producer.rs"]
#[expect(dead_code, reason = "as above; here orders are placed one by one")]
mod producer;
#[path = "../support/promises.rs"]
mod promises;
#[path = "../support/fault_proxy.rs"]
#[expect(dead_code, reason = "shared with the tests of back-pressure, which make servers slow")]
mod proxy;
#[path = "../chaos/rest.rs"]
#[expect(dead_code, reason = "shared with the soak, which measures how long it takes")]
mod rest;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use the rest")]
mod support;
#[path = "../support/warehouse.rs"]
#[expect(dead_code, reason = "shared with the tests of the warehouse itself, which use all of it")]
mod warehouse;
#[path = "../chaos/world.rs"]
#[expect(dead_code, reason = "shared with the soak, which breaks more of it")]
mod world;

mod hunt;
mod live_work;
mod lost_orders;
mod repeated_work;
mod scene;
mod stale_workers;
