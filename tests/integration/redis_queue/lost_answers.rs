//! A connection that is cut after the server did what it was asked, and before it could say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use fulfillment_worker::port::queue::{Depth, Disposition, Queue, QueueReports, ReceiptState, Settlement};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::redis_queue::server::{KEY, Server, acks, push, queue};
use crate::support::LONG;

/// Stands before a server, and swallows the next answer on demand.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    server_port: Arc<AtomicU16>,
    swallow: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the proxy");
        let port = listener.local_addr().expect("its address").port();
        let swallow = Arc::new(AtomicBool::new(false));
        let server_port = Arc::new(AtomicU16::new(server_port));
        let (flag, target) = (Arc::clone(&swallow), Arc::clone(&server_port));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target.load(Ordering::SeqCst), Arc::clone(&flag)));
            }
        });
        Self { port, server_port, swallow }
    }

    /// Leads new connections to another server, as the name of a service does after a failover.
    pub(crate) fn lead_to(&self, server_port: u16) {
        self.server_port.store(server_port, Ordering::SeqCst);
    }

    fn swallow_the_next_answer(&self) {
        self.swallow.store(true, Ordering::SeqCst);
    }
}

/// Passes bytes both ways until an answer is to be swallowed; then cuts the connection.
async fn forward(client: TcpStream, server_port: u16, swallow: Arc<AtomicBool>) {
    let server = TcpStream::connect(("127.0.0.1", server_port)).await.expect("the server behind the proxy");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut answer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from_server.read(&mut answer).await {
        if swallow.swap(false, Ordering::SeqCst) || to_client.write_all(&answer[..length]).await.is_err() {
            break;
        }
    }
    requests.abort();
}

/// Caught, when it was found: an outage of Redis cost whatever was claimed in its last moment an attempt and a lease.
#[tokio::test]
async fn messages_of_a_claim_whose_answer_was_lost_come_back_at_once_with_no_attempt_spent() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let worker = queue(&format!("redis://127.0.0.1:{}", proxy.port), KEY, LONG).unwrap();
    push(&worker, &["retried", "new"]).await.unwrap();
    let retried = worker.claim(1).await.unwrap().claims;
    let disposition = Disposition::Retry { after: Duration::ZERO, spent: true };
    worker.settle(&[Settlement { receipt: retried[0].receipt.clone(), disposition }]).await.unwrap();

    proxy.swallow_the_next_answer();
    assert!(worker.claim(10).await.expect_err("no answer").is_transient());
    assert_eq!(server.queue(LONG).depth().await.unwrap(), Depth { waiting: 0, in_flight: 2, due: 0, retrying: 0 });

    let mut claims = worker.claim(10).await.unwrap().claims;
    claims.sort_by_key(|claim| claim.attempt);
    let found: Vec<(&[u8], u32)> = claims.iter().map(|claim| (claim.payload.as_slice(), claim.attempt)).collect();
    assert_eq!(found, [(&b"new"[..], 1), (&b"retried"[..], 2)]);
    worker.settle(&acks(&claims)).await.unwrap();
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_worker_that_claims_no_more_can_release_what_it_was_never_told_of() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let worker = queue(&format!("redis://127.0.0.1:{}", proxy.port), KEY, LONG).unwrap();
    push(&worker, &["new"]).await.unwrap();
    proxy.swallow_the_next_answer();
    assert!(worker.claim(10).await.expect_err("no answer").is_transient());

    worker.release_unanswered().await.unwrap();
    let claims = server.queue(LONG).claim(10).await.unwrap().claims;
    assert_eq!(claims.iter().map(|claim| claim.attempt).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn what_other_claims_hold_is_not_handed_back() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let worker = queue(&format!("redis://127.0.0.1:{}", proxy.port), KEY, LONG).unwrap();
    let other = server.queue(LONG);
    push(&other, &["held by the worker", "held by another", "lost"]).await.unwrap();
    let own = worker.claim(1).await.unwrap().claims;
    let others = other.claim(1).await.unwrap().claims;

    proxy.swallow_the_next_answer();
    worker.claim(10).await.expect_err("no answer");
    let found = worker.claim(10).await.unwrap().claims;

    assert_eq!(found.iter().map(|claim| claim.payload.as_slice()).collect::<Vec<_>>(), [b"lost"]);
    for (queue, claims) in [(&worker, own), (&other, others), (&worker, found)] {
        assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid]);
    }
}
