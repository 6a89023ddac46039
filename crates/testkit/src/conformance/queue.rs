//! What every queue must do.

#![expect(missing_docs, reason = "the name of a case says what it asks for")]

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::port::queue::{Claim, Disposition, Producer, Queue, QueueReports, Settlement};
use tokio::time::Instant;

pub mod claiming;
pub mod due;
pub mod handing_back;
pub mod inventory;
pub mod oversized;
pub mod pushing;
pub mod settling;
pub mod waiting;

/// One queue of a backend, fresh and used by nobody else.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use fulfillment_worker_testkit::conformance::queue::QueueFixture;
/// use fulfillment_worker_testkit::memory::{Memory, MemoryQueue};
///
/// struct InMemory(Memory);
///
/// impl QueueFixture for InMemory {
///     type Queue = MemoryQueue;
///
///     async fn fresh() -> Self {
///         Self(Memory::new())
///     }
///
///     async fn worker(&self, lease: Duration) -> Arc<MemoryQueue> {
///         Arc::new(self.0.queue(lease))
///     }
/// }
///
/// mod conformance {
///     fulfillment_worker_testkit::queue_conformance!(super::InMemory);
///     fulfillment_worker_testkit::queue_maintenance_conformance!(super::InMemory);
/// }
/// ```
#[expect(async_fn_in_trait, reason = "a case stays on its thread")]
pub trait QueueFixture: Sized + Send + Sync {
    /// What is tried; may be a trait object.
    type Queue: Queue + Producer + QueueReports + ?Sized + 'static;

    /// Makes an empty queue.
    async fn fresh() -> Self;

    /// Opens it as a worker with an identity of its own, whose claims are leased for `lease`: 1 ms to 2 minutes.
    async fn worker(&self, lease: Duration) -> Arc<Self::Queue>;
}

/// A lease longer than any test takes.
const LONG: Duration = Duration::from_secs(120);
/// A lease that tests wait for. Long enough that a busy machine does not lose it between two calls.
const SHORT: Duration = Duration::from_millis(400);
/// A lease that is over before anybody looks again.
const SHORTEST: Duration = Duration::from_millis(1);
/// What a test waits for something to happen before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A fresh queue with one worker that holds on to what it claims.
async fn fresh<F: QueueFixture>() -> (F, Arc<F::Queue>) {
    let fixture = F::fresh().await;
    let queue = fixture.worker(LONG).await;
    (fixture, queue)
}

async fn push(queue: &(impl Producer + ?Sized), payloads: &[&str]) {
    let payloads: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.as_bytes().to_vec()).collect();
    queue.push(&payloads).await.unwrap();
}

/// Claims what there is to claim now.
async fn claim(queue: &(impl Queue + ?Sized)) -> Vec<Claim> {
    queue.claim(1_000).await.unwrap().claims
}

/// Claims the one message that must be there now.
async fn claim_one(queue: &(impl Queue + ?Sized)) -> Claim {
    let mut claims = claim(queue).await;
    assert_eq!(claims.len(), 1, "{claims:?}");
    claims.remove(0)
}

/// Claims as soon as there is something to claim, asking when the queue says that it is worth it.
async fn claim_when_due(queue: &(impl Queue + ?Sized)) -> Vec<Claim> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let claimed = queue.claim(1_000).await.unwrap();
        if !claimed.claims.is_empty() {
            return claimed.claims;
        }
        assert!(Instant::now() < deadline, "nothing became claimable within {PATIENCE:?}");
        queue.wait(claimed.next_due.unwrap_or(PATIENCE).max(Duration::from_millis(1))).await;
    }
}

/// Returns when a lease of this length, begun now, is over; claims nothing.
async fn outlast(queue: &(impl Queue + ?Sized), lease: Duration) {
    // The queue counts whole milliseconds, and may count one more at either end.
    let end = Instant::now() + lease + Duration::from_millis(3);
    while Instant::now() < end {
        queue.wait(end.saturating_duration_since(Instant::now())).await;
    }
}

fn payloads(claims: &[Claim]) -> Vec<String> {
    claims.iter().map(|claim| String::from_utf8_lossy(&claim.payload).into_owned()).collect()
}

fn ack(claim: &Claim) -> Settlement {
    Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Ack }
}

fn retry(claim: &Claim, after: Duration) -> Settlement {
    Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Retry { after, spent: true } }
}

fn hand_back(claim: &Claim, after: Duration) -> Settlement {
    Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Retry { after, spent: false } }
}
