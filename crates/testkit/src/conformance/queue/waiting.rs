//! How a worker learns that there is something to claim.

use std::time::Duration;

use fulfillment_worker::port::queue::{Queue, QueueReports};
use tokio::time::{Instant, timeout};

use super::{LONG, PATIENCE, QueueFixture, claim_one, claim_when_due, fresh, payloads, push};

pub async fn a_wait_ends_when_another_worker_pushes<F: QueueFixture>() {
    let (fixture, waiter) = fresh::<F>().await;
    let producer = fixture.worker(LONG).await;
    // Makes both ready, so that what is measured is the wake-up.
    waiter.wait(Duration::from_millis(1)).await;
    assert_eq!(producer.depth().await.unwrap().waiting, 0);

    let waiting = tokio::spawn(async move {
        let claims = claim_when_due(&*waiter).await;
        (claims, Instant::now())
    });
    tokio::task::yield_now().await;
    let pushed = Instant::now();
    push(&*producer, &["news"]).await;
    let (claims, woken) = timeout(PATIENCE, waiting).await.unwrap().unwrap();

    assert_eq!(payloads(&claims), ["news"]);
    // Whoever only looks once a second takes half a second on average: this must be faster, even on a busy machine.
    let took = woken.saturating_duration_since(pushed);
    assert!(took < Duration::from_millis(400), "woken after {took:?}");
}

pub async fn a_wait_ends_at_once_when_there_is_something_to_claim<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    let started = Instant::now();
    queue.wait(PATIENCE).await;
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    claim_one(&*queue).await;
}

pub async fn a_wait_without_work_ends_in_time<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    for at_most in [Duration::ZERO, Duration::from_micros(10), Duration::from_millis(150)] {
        let started = Instant::now();
        timeout(PATIENCE, queue.wait(at_most)).await.unwrap();
        assert!(started.elapsed() < at_most + Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

pub async fn a_wait_takes_nothing<F: QueueFixture>() {
    let (fixture, queue) = fresh::<F>().await;
    push(&*queue, &["a", "b"]).await;
    for _ in 0..3 {
        queue.wait(Duration::from_millis(50)).await;
    }
    assert_eq!(payloads(&fixture.worker(LONG).await.claim(10).await.unwrap().claims), ["a", "b"]);
}

pub async fn a_wait_can_be_dropped<F: QueueFixture>() {
    let (fixture, queue) = fresh::<F>().await;
    for _ in 0..20 {
        assert!(timeout(Duration::from_millis(2), queue.wait(PATIENCE)).await.is_err());
    }
    push(&*fixture.worker(LONG).await, &["one"]).await;
    let started = Instant::now();
    queue.wait(PATIENCE).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    claim_one(&*queue).await;
}
