//! Accepts connections and limits them.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::routes::router;
use super::{Peer, Routes};

/// What clients may use.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Connections at once, from 1; more wait in the system's backlog.
    pub connections: u32,
    /// Time to send the head of a request, and to stay silent between two requests.
    pub head: Duration,
    /// Time of a whole connection, which ends those that never read their answer. A request under way still has
    /// `grace`.
    pub connection: Duration,
    /// Time for a request under way when the connection's time is over or the server stops.
    pub grace: Duration,
    /// Pause before the next accept when the system has no resources left for one.
    pub accept_pause: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(5),
            connection: Duration::from_secs(60),
            grace: Duration::from_secs(1),
            accept_pause: Duration::from_millis(500),
        }
    }
}

/// More than any browser or scraper sends, and all that a request may hold in memory.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Answers requests until `shutdown`, then finishes those under way: returns after `grace` at most.
pub async fn serve_within(
    limits: ConnectionLimits,
    listener: TcpListener,
    routes: Routes,
    shutdown: CancellationToken,
) {
    let limits = Arc::new(limits);
    let places = Arc::new(Semaphore::new(limits.connections as usize));
    let metrics = Arc::clone(&routes.metrics);
    let access = Arc::clone(&routes.access);
    let router = router(routes);
    // Dropped with this future, which then ends the connections as well.
    let stop = shutdown.child_token();
    let _stop_when_dropped = stop.clone().drop_guard();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let open = metrics.open_connection();
                let (router, limits, stop) = (router.clone(), Arc::clone(&limits), stop.clone());
                let tls = access.tls();
                tokio::spawn(async move {
                    // To be replaced.
                    let _ = stream.set_nodelay(true);
                    match tls {
                        None => answer(stream, peer, router, &limits, &stop).await,
                        Some(config) => {
                            let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
                            if let Ok(Ok(stream)) = timeout(limits.head, handshake).await {
                                answer(stream, peer, router, &limits, &stop).await;
                            }
                        }
                    }
                    // In this order, so that the count of open connections never passes the limit.
                    drop(open);
                    drop(place);
                });
            }
            // The client gave up before it was its turn.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted; trying again");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(limits.accept_pause) => {}
                }
            }
        }
    }
    drop(listener);
    // Each connection keeps to the grace by itself, so all places are free soon.
    let _ = timeout(limits.grace, places.acquire_many(limits.connections)).await;
}

/// Waits for a free place first: a connection over the limit stays in the backlog and costs nothing.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // A socket of both families shows IPv4's addresses as `::ffff:127.0.0.1`.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    Ok((stream, peer, place))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

async fn answer(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    peer: SocketAddr,
    router: Router,
    limits: &ConnectionLimits,
    stop: &CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer::Network(peer));
        router.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        // An error is the client's: it left, was too slow, or did not speak HTTP, and was told so where possible.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(limits.connection) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.grace, connection).await;
}
