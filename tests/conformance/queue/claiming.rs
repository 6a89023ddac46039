//! Who gets which message, and when.

use std::time::Duration;

use super::QueueFixture;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

pub(crate) async fn a_claimed_message_is_not_claimed_again<F: QueueFixture>() {
    let fixture = F::fresh().await;
    let (first, second) = (fixture.worker(LONG).await, fixture.worker(LONG).await);
    first.push(&[b"one".to_vec()]).await.unwrap();

    let claimed = first.claim(10).await.unwrap();
    assert_eq!(claimed.claims.len(), 1);
    assert_eq!(claimed.claims[0].payload, b"one");

    assert!(first.claim(10).await.unwrap().claims.is_empty());
    assert!(second.claim(10).await.unwrap().claims.is_empty());
}
