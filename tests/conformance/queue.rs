//! What every queue must do.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::queue::Queue;

mod claiming;
mod fixtures;

/// One queue of a backend, fresh and used by nobody else.
pub(crate) trait QueueFixture: Sized + Send + Sync {
    /// Makes an empty queue.
    async fn fresh() -> Self;

    /// Opens it as a worker of its own identity, whose claims are leased for `lease`.
    async fn worker(&self, lease: Duration) -> Arc<dyn Queue>;
}

/// Runs every case against a backend.
macro_rules! conformance {
    ($backend:ident: $fixture:ty) => {
        mod $backend {
            cases! { $fixture:
                claiming::a_claimed_message_is_not_claimed_again,
            }
        }
    };
}

// conformance!(redis: crate::queue::fixtures::RedisFixture);
