//! What every backend must do, case by case: a backend of your own proves itself by passing them.
//!
//! Implement [`QueueFixture`](queue::QueueFixture) for a queue, [`StoreFixture`](store::StoreFixture) and
//! [`StoreRecords`](store::StoreRecords) for a store, in the tests of your crate, and name the fixture to a macro. Each case
//! becomes a `#[test]` under its own name. They may run side by side: each asks for a fixture that nobody else uses.
//!
//! | macro | ports | |
//! |---|---|---|
//! | [`queue_conformance!`](crate::queue_conformance) | [`Queue`], [`Producer`], [`QueueReports`] | what an engine needs of a queue |
//! | [`store_conformance!`](crate::store_conformance) | [`OrderStore`] | what an engine needs of a store |
//! | [`queue_maintenance_conformance!`](crate::queue_maintenance_conformance) | [`QueueMaintenance`] too | for a [`Reconciler`] beside the engine |
//! | [`hand_back_conformance!`](crate::hand_back_conformance) | [`HandBack`] and [`QueueMaintenance`] too | for [`Engine::drain_to_list`] |
//!
//! The other ports of a store (dead letters, decisions, reports, reconciliation, retention, controls, jobs, trends) have no
//! cases here yet: an engine runs without them.
//!
//! [`Queue`]: fulfillment_worker::port::queue::Queue
//! [`Producer`]: fulfillment_worker::port::queue::Producer
//! [`QueueReports`]: fulfillment_worker::port::queue::QueueReports
//! [`QueueMaintenance`]: fulfillment_worker::port::queue_maintenance::QueueMaintenance
//! [`HandBack`]: fulfillment_worker::port::queue_maintenance::HandBack
//! [`OrderStore`]: fulfillment_worker::port::store::OrderStore
//! [`Reconciler`]: fulfillment_worker::engine::Reconciler
//! [`Engine::drain_to_list`]: fulfillment_worker::engine::Engine::drain_to_list

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case ends at the first thing that isn't as it should be"
)]

mod list;
pub mod queue;
pub mod store;

/// Runs a case to its end, with two threads for what happens at once.
///
/// # Panics
/// When the backend does not pass it, or no threads can be started.
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads for a case").block_on(case);
}
