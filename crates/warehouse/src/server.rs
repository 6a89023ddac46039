//! Connections: accepted, bounded, and cut where an answer says so.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Warehouse;
use super::answer::Cut;
use super::routes::router;

/// At once; more wait in the system's backlog.
const MOST_CONNECTIONS: usize = 10_000;
/// For the head of a request, and for silence between two.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// For what is under way at the end.
const GRACE: Duration = Duration::from_secs(5);
/// Before the next try to accept, when the system has nothing left to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn serve(listener: TcpListener, warehouse: Arc<Warehouse>, shutdown: CancellationToken) {
    let router = router(Arc::clone(&warehouse));
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let connection = graceful.watch(answer(stream, router.clone()));
                tokio::spawn(async move {
                    // An error is a cut, or the client's.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted; trying again");
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    warehouse.closing.cancel();
    let _ = timeout(GRACE, graceful.shutdown()).await;
}

/// Waits for a free place first: whoever is over the limit stays outside.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn answer(stream: TcpStream, router: Router) -> impl GracefulConnection<Error = hyper::Error> {
    // Answers are small and complete: nothing to gain from waiting for more. Works without it, too.
    let _ = stream.set_nodelay(true);
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let answered = routes.call(request);
        async move { uncut(answered.await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
}

/// An error of the service closes its connection, and nothing is sent.
fn uncut(answered: Result<Response, Infallible>) -> Result<Response, io::Error> {
    match answered {
        Ok(response) if response.extensions().get::<Cut>().is_some() => Err(io::ErrorKind::ConnectionAborted.into()),
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}
