//! What is in the queue again and may be claimed now is not counted as waiting for the time of a retry.

use std::time::Duration;

use fulfillment_worker::port::queue::{Depth, Queue, QueueReports};
use fulfillment_worker::port::queue_maintenance::{QueueMaintenance, RequeuedMessage};

use super::{LONG, QueueFixture, claim, fresh, hand_back, push, retry};

/// Caught on the code before: all of them were counted as retrying.
pub async fn what_is_handed_back_or_adopted_is_due_and_what_waits_for_its_time_is_not<
    F: QueueFixture<Queue: QueueMaintenance>,
>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["retried", "handed back", "leased"]).await;
    let claims = claim(&*queue).await;
    queue.settle(&[retry(&claims[0], LONG), hand_back(&claims[1], Duration::ZERO)]).await.unwrap();
    let adopted = (1..=5).map(|order| RequeuedMessage {
        key: format!("adopted-{order}-1"),
        payload: format!("lost {order}").into_bytes(),
        attempts: 0,
    });
    queue.requeue_lost(&adopted.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 1, due: 6, retrying: 1 });
    assert_eq!(claim(&*queue).await.len(), 6, "what is due can be claimed");
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 7, due: 0, retrying: 1 });
}
