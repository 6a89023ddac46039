//! What these tests ask of a server, and of a queue on it.

use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::redis::{RedisQueue, RedisQueueOptions};
use fulfillment_worker::config::{QueueTls, redis_url};
use fulfillment_worker::event::Observers;
use fulfillment_worker::port::queue::{Claim, Disposition, Producer, Queue, QueueError, Settlement};
use redis::FromRedisValue;

use crate::support::process::Signal;
pub(crate) use crate::support::redis::{QUEUE_KEY as KEY, RedisServer as Server};
use crate::support::{LONG, eventually};

impl Server {
    /// Kills it without a warning.
    pub(crate) async fn kill(&mut self) {
        self.end(Signal::Kill).await;
    }

    /// Sends a command, given as words.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        self.ask_with(command.split(' '))
    }

    /// Sends a command.
    pub(crate) fn ask_with<'a, T: FromRedisValue>(&self, words: impl IntoIterator<Item = &'a str>) -> T {
        let mut connection = self.connect().expect("a connection to Redis");
        let mut words = words.into_iter();
        let mut command = redis::cmd(words.next().expect("a command"));
        for word in words {
            command.arg(word);
        }
        command.query(&mut connection).expect("an answer of Redis")
    }

    /// A queue on this server, as a worker of its own.
    pub(crate) fn queue(&self, lease: Duration) -> RedisQueue {
        queue(&self.url(), KEY, lease).expect("a queue")
    }
}

/// A queue at a URL.
pub(crate) fn queue(url: &str, key: &str, lease: Duration) -> Result<RedisQueue, QueueError> {
    let url = redis_url::parse(url).expect("a URL");
    RedisQueue::connect(
        &url,
        &QueueTls::default(),
        RedisQueueOptions { key: key.to_owned(), lease, worker: WorkerId::fresh() },
        Observers::default(),
    )
}

/// Pushes messages.
pub(crate) async fn push(queue: &RedisQueue, payloads: &[&str]) -> Result<(), QueueError> {
    let payloads: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.as_bytes().to_vec()).collect();
    queue.push(&payloads).await
}

/// Claims as soon as there is something to claim.
pub(crate) async fn claim_when_due(queue: &RedisQueue) -> Vec<Claim> {
    eventually(LONG, "something to claim", async || {
        let claims = queue.claim(1_000).await.map_err(|error| error.to_string())?.claims;
        if claims.is_empty() { Err("nothing".to_owned()) } else { Ok(claims) }
    })
    .await
}

/// Settlements that remove what was claimed.
pub(crate) fn acks(claims: &[Claim]) -> Vec<Settlement> {
    claims.iter().map(|claim| Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Ack }).collect()
}

/// Settlements that put back what was claimed, without counting the attempt.
pub(crate) fn hand_backs(claims: &[Claim], after: Duration) -> Vec<Settlement> {
    claims
        .iter()
        .map(|claim| Settlement {
            receipt: claim.receipt.clone(),
            disposition: Disposition::Retry { after, spent: false },
        })
        .collect()
}
