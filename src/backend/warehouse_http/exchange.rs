//! One request and its answer. Without an answer, it finds out whether the request was sent.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::http::uri::InvalidUri;
use hyper::{Response, StatusCode, Uri};
use hyper_util::client::legacy;
use rustls::AlertDescription;
use tokio::sync::Notify;
use tower_service::Service;

use super::answer::{self, Answer, Meaning, RequestKind};
use super::client::Client;
use super::error::{causes, error_chain};
use super::request::{Request, Requests};
use crate::event::RequestClass;

/// The most that is read of an answer's body, in bytes after decompression.
const MOST_BODY: usize = 64 * 1024;

/// The most interim answers (1xx) to one request: some servers and proxies send a few.
const MOST_INTERIM: usize = 32;

/// A request that has ended.
pub(super) struct Exchange {
    pub(super) class: RequestClass,
    pub(super) answer: Answer,
}

impl Exchange {
    /// Whether the warehouse has seen the request, or may have.
    pub(super) fn was_sent(&self) -> bool {
        self.class != RequestClass::Unreachable
    }

    /// Whether there is an answer.
    pub(super) fn was_answered(&self) -> bool {
        !matches!(self.class, RequestClass::Unreachable | RequestClass::Timeout | RequestClass::ConnectionLost)
    }
}

/// Makes one request, and reads the answer until `deadline`.
pub(super) async fn exchange(requests: &Requests, kind: RequestKind, request: Request, deadline: Instant) -> Exchange {
    let url = request.url.clone();
    let began = Instant::now();
    let (class, meaning) = match tokio::time::timeout_at(deadline.into(), send(&requests.client, request)).await {
        Ok(Ok(response)) => {
            let (head, body) = response.into_parts();
            let body = requests.redaction.apply(beginning_of_body(body, deadline).await);
            let answer = answer::read(kind, &url, head.status, &head.headers, &body, SystemTime::now());
            return Exchange { class: class(head.status), answer };
        }
        Ok(Err(Unanswered::Client(error))) if !may_have_been_sent(&error) => {
            let why = format!("the warehouse can't be reached: {}", error_chain(&error));
            (RequestClass::Unreachable, Meaning::Unavailable(why))
        }
        Ok(Err(Unanswered::Url(error))) => {
            let why = format!("nothing was sent: the URL that the warehouse named: {error}");
            (RequestClass::Unreachable, Meaning::Unavailable(why))
        }
        Ok(Err(Unanswered::Client(error))) => {
            let why = format!("sent, and no answer: {}", error_chain(&error));
            (RequestClass::ConnectionLost, Meaning::Ambiguous(why))
        }
        Ok(Err(Unanswered::Interim)) => {
            let why = format!("sent, and no answer: more than {MOST_INTERIM} interim ones (1xx)");
            (RequestClass::ConnectionLost, Meaning::Ambiguous(why))
        }
        // Connecting has a limit of its own, well before this one.
        Err(_) => {
            let why = format!("sent, and no answer within {:.3} s", began.elapsed().as_secs_f64());
            (RequestClass::Timeout, Meaning::Ambiguous(why))
        }
    };
    Exchange { class, answer: Answer { meaning, retry_after: None, counts_against_breaker: true } }
}

/// Why there is no answer.
enum Unanswered {
    /// HTTP doesn't take the URL.
    Url(InvalidUri),
    Client(legacy::Error),
    /// Interim answers went on and on.
    Interim,
}

/// Sends a request, and waits for the head of the answer. Closes the connection when it is dropped before.
async fn send(client: &Client, request: Request) -> Result<Response<impl Body<Data = Bytes>>, Unanswered> {
    let Request { method, url, headers, body } = request;
    let uri: Uri = url.as_str().parse().map_err(Unanswered::Url)?;
    let mut request = hyper::Request::new(Full::from(body));
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    let (too_many, seen) = (Arc::new(Notify::new()), AtomicUsize::new(0));
    let stop = Arc::clone(&too_many);
    hyper::ext::on_informational(&mut request, move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == MOST_INTERIM {
            stop.notify_one();
        }
    });
    let mut client = client.clone();
    let sending = async {
        std::future::poll_fn(|context| client.poll_ready(context)).await?;
        client.call(request).await
    };
    tokio::select! {
        answered = sending => answered.map_err(Unanswered::Client),
        () = too_many.notified() => Err(Unanswered::Interim),
    }
}

/// Reads the body until its end, the limit, the deadline or an error: the status has decided already.
async fn beginning_of_body(body: impl Body<Data = Bytes>, deadline: Instant) -> Vec<u8> {
    let mut read = Vec::new();
    let mut body = pin!(body);
    while read.len() < MOST_BODY {
        match tokio::time::timeout_at(deadline.into(), body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let chunk = frame.into_data().unwrap_or_default();
                read.extend_from_slice(&chunk[..chunk.len().min(MOST_BODY - read.len())]);
            }
            Ok(None | Some(Err(_))) | Err(_) => break,
        }
    }
    read
}

fn class(status: StatusCode) -> RequestClass {
    match status.as_u16() {
        202 => RequestClass::Accepted,
        200..=299 => RequestClass::Done,
        300..=399 => RequestClass::Redirect,
        409 => RequestClass::InProgress,
        429 | 503 => RequestClass::Unavailable,
        408 | 425 => RequestClass::TryAgain,
        400..=499 => RequestClass::Rejected,
        _ => RequestClass::ServerError,
    }
}

/// Whether the warehouse may have got the request. When in doubt, yes.
fn may_have_been_sent(error: &legacy::Error) -> bool {
    !(error.is_connect() || causes(error).any(says_that_nothing_was_sent))
}

fn says_that_nothing_was_sent(error: &(dyn Error + 'static)) -> bool {
    // A connection that was closed before the request was written to it.
    let unwritten = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
    // In TLS 1.3 a server refuses the client's certificate after the client has begun to send, and without reading.
    let inside = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
    let tls = inside.and_then(|error| error.downcast_ref::<rustls::Error>());
    unwritten || matches!(tls, Some(rustls::Error::AlertReceived(alert)) if refuses_the_client(*alert))
}

fn refuses_the_client(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
    )
}
