//! What goes in comes out.

use std::time::Duration;

use fulfillment_worker::port::queue::{Depth, Producer, Queue, QueueReports};

use super::{LONG, QueueFixture, claim, fresh, hand_back, push, retry};

pub async fn binary_and_empty_payloads_come_back_unchanged<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let pushed = [every_byte, Vec::new(), b"\0\n\r\n".to_vec(), b"7 token\npayload".to_vec(), vec![0xff; 3]];
    queue.push(&pushed).await.unwrap();

    let claims = claim(&*queue).await;
    let back: Vec<Vec<u8>> = claims.iter().map(|claim| claim.payload.clone()).collect();
    assert_eq!(back, pushed);

    let returned: Vec<_> = claims.iter().map(|claim| hand_back(claim, Duration::ZERO)).collect();
    queue.settle(&returned).await.unwrap();
    let mut again: Vec<Vec<u8>> = claim(&*queue).await.into_iter().map(|claim| claim.payload).collect();
    let mut expected = pushed.to_vec();
    again.sort();
    expected.sort();
    assert_eq!(again, expected);
}

pub async fn pushing_nothing_is_no_error<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    queue.push(&[]).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

pub async fn thousands_of_messages_are_pushed_in_order<F: QueueFixture>() {
    const MESSAGES: usize = 25_000;
    let (_fixture, queue) = fresh::<F>().await;
    let pushed: Vec<Vec<u8>> = (0..MESSAGES).map(|number| number.to_string().into_bytes()).collect();
    queue.push(&pushed).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().waiting, MESSAGES as u64);

    let mut back = Vec::with_capacity(MESSAGES);
    while back.len() < MESSAGES {
        let claims = claim(&*queue).await;
        assert!(!claims.is_empty(), "only {} came back", back.len());
        back.extend(claims.into_iter().map(|claim| claim.payload));
    }
    assert!(back == pushed, "the order differs");
}

pub async fn depth_counts_each_kind<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
    push(&*queue, &["a", "b", "c", "d", "e", "f"]).await;
    let claims = queue.claim(3).await.unwrap().claims;
    queue.settle(&[retry(&claims[0], LONG)]).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 3, in_flight: 2, due: 0, retrying: 1 });
}
