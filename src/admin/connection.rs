//! Accepts connections, and answers the requests of each.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures::future::join_all;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::limits::ConnectionLimits;
use super::listen::{Listener, Stream};
use super::places::{Place, Places};
use super::routes::router;
use super::{Access, Peer, Routes};
use crate::observe::metrics::Closed;
use watched::Watched;

mod handshake;
mod watched;

/// More than any browser or scraper sends, and all that a request may hold in memory.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What the system keeps of answers that a client doesn't take: less than two renderings of the metrics. It would grow this
/// to megabytes otherwise, so that a client which never reads costs a rendering for each request it sends in advance.
const SEND_BUFFER: usize = 64 * 1024;

/// The paths that are answered however many other requests are under way.
const PROBES: [&str; 4] = ["/livez", "/readyz", "/health", "/metrics"];

/// What all connections share.
struct Served {
    limits: ConnectionLimits,
    places: Arc<Places>,
    access: Arc<Access>,
    router: Router,
    stop: CancellationToken,
}

/// Answers requests until `shutdown`, then finishes those under way: returns after `grace` at most.
pub async fn serve_within(
    limits: ConnectionLimits,
    listeners: Vec<Listener>,
    routes: Routes,
    shutdown: CancellationToken,
) {
    let served = Arc::new(Served {
        places: Places::new(limits.clone(), Arc::clone(&routes.metrics)),
        access: Arc::clone(&routes.access),
        router: router(routes),
        stop: shutdown.child_token(),
        limits,
    });
    // Dropped with this future, which then ends the connections as well.
    let _stop_when_dropped = served.stop.clone().drop_guard();
    join_all(listeners.into_iter().map(|listener| accept_all(listener, &served))).await;
    // Each connection keeps to the grace by itself, so all places are free soon.
    let _ = timeout(served.limits.grace, served.places.all_free()).await;
}

/// Accepts every connection at once, also where no place is free: then another connection makes room.
async fn accept_all(listener: Listener, served: &Arc<Served>) {
    let accepting = async {
        let mut lacked = false;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    lacked = false;
                    let place = Arc::new(served.places.take(peer).await);
                    tokio::spawn(answer(stream, peer, place, Arc::clone(served)));
                }
                // The client gave up before it was its turn.
                Err(error) if is_of_one_connection(&error) => {}
                // No descriptor is left, most likely, and one of ours is as good as any.
                Err(_) if !lacked && served.places.give_one_up().await => lacked = true,
                Err(error) => {
                    lacked = false;
                    tracing::warn!(%error, "no connection could be accepted; trying again");
                    sleep(served.limits.accept_pause).await;
                }
            }
        }
    };
    let _: Option<Infallible> = served.stop.run_until_cancelled(accepting).await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Answers the requests of one connection, until it ends or has to make room. Its place is free when it is closed.
async fn answer(stream: Stream, peer: Peer, place: Arc<Place>, served: Arc<Served>) {
    let ended = tokio::select! {
        biased;
        // Counted by whoever asked for it.
        () = place.closing() => None,
        why = encrypted_or_not(stream, peer, &place, &served) => Some(why),
    };
    if let Some(why) = ended {
        place.ended(why);
    }
}

async fn encrypted_or_not(stream: Stream, peer: Peer, place: &Arc<Place>, served: &Served) -> Closed {
    let stream = match stream {
        #[cfg(unix)]
        Stream::Socket(stream) => return http(stream, peer, place, served).await,
        Stream::Network(stream) => stream,
    };
    // Answers are small and complete: nothing to gain from waiting for more. Works without it, too.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    let Some(tls) = served.access.tls() else { return http(stream, peer, place, served).await };
    match timeout(served.limits.head, handshake::accept(stream, tls)).await {
        Ok(Ok(stream)) => http(stream, peer, place, served).await,
        Ok(Err(_)) => Closed::Invalid,
        Err(_) => Closed::TooSlow,
    }
}

async fn http<S>(stream: S, peer: Peer, place: &Arc<Place>, served: &Served) -> Closed
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let router = TowerToHyperService::new(served.router.clone());
    let requests = served.limits.requests;
    let service = service_fn(|mut request: Request<Incoming>| {
        let admitted = place.begin(PROBES.contains(&request.uri().path()));
        request.extensions_mut().insert(peer);
        let answering = admitted.then(|| router.call(request));
        async move {
            let answer = match answering {
                Some(answering) => answering.await,
                None => Ok(too_busy(requests)),
            };
            place.answered();
            answer
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(served.limits.head)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(place))), service)
    );
    let why = tokio::select! {
        ended = connection.as_mut() => return reason(ended),
        () = served.stop.cancelled() => Closed::Ended,
        () = sleep(served.limits.connection) => Closed::TooOld,
    };
    connection.as_mut().graceful_shutdown();
    let _ = timeout(served.limits.grace, connection).await;
    why
}

/// An error is the client's: it left, was too slow, or did not speak HTTP, and was told so where possible.
fn reason(ended: hyper::Result<()>) -> Closed {
    match ended {
        Err(error) if error.is_timeout() => Closed::TooSlow,
        Err(error) if error.is_parse() => Closed::Invalid,
        _ => Closed::Ended,
    }
}

fn too_busy(most: usize) -> Response<Body> {
    let why = format!("{most} requests are being answered already, which is the limit; try again later\n");
    let mut answer = Response::new(Body::from(why));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = [(CONNECTION, "close"), (CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "text/plain; charset=utf-8")];
    for (name, value) in headers {
        answer.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
    }
    answer
}
