//! The queues that the suite of `crates/testkit` runs against.

mod fixtures;

use fulfillment_worker::port::queue::{Producer, Queue, QueueReports};
use fulfillment_worker::port::queue_maintenance::{HandBack, QueueMaintenance};

/// A queue in each of its roles.
pub(crate) trait AnyQueue: Queue + Producer + QueueReports + QueueMaintenance + HandBack {}

impl<Q: Queue + Producer + QueueReports + QueueMaintenance + HandBack> AnyQueue for Q {}

/// Makes every case a test of this backend.
macro_rules! conformance {
    ($backend:ident: $fixture:ident) => {
        mod $backend {
            fulfillment_worker_testkit::queue_conformance!(super::fixtures::$fixture);
            fulfillment_worker_testkit::queue_maintenance_conformance!(super::fixtures::$fixture);
            fulfillment_worker_testkit::hand_back_conformance!(super::fixtures::$fixture);
        }
    };
}

conformance!(redis: RedisFixture);
conformance!(valkey: ValkeyFixture);
conformance!(sqlite: SqliteFixture);

/// What is in memory has no list that other consumers read.
mod memory {
    fulfillment_worker_testkit::queue_conformance!(crate::conformance::memory::InMemory);
    fulfillment_worker_testkit::queue_maintenance_conformance!(crate::conformance::memory::InMemory);
}
