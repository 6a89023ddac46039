//! One request and its answer. Without an answer, it finds out whether the request was sent.

use std::error::Error;
use std::io;
use std::time::{Instant, SystemTime};

use reqwest::{Request, Response, StatusCode};
use rustls::AlertDescription;

use super::answer::{self, Answer, Meaning, RequestKind};
use super::error::{causes, error_chain};
use super::request::Requests;
use crate::event::RequestClass;

/// The most that is read of an answer's body, in bytes after decompression.
const MOST_BODY: usize = 64 * 1024;

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
    let url = request.url().clone();
    let began = Instant::now();
    let sending = requests.client.execute(request);
    let (class, meaning) = match tokio::time::timeout_at(deadline.into(), sending).await {
        Ok(Ok(mut response)) => {
            let body = requests.redaction.apply(beginning_of_body(&mut response, deadline).await);
            let status = response.status();
            let answer = answer::read(kind, &url, status, response.headers(), &body, SystemTime::now());
            return Exchange { class: class(status), answer };
        }
        Ok(Err(error)) if !may_have_been_sent(&error) => {
            let why = format!("the warehouse can't be reached: {}", error_chain(error));
            (RequestClass::Unreachable, Meaning::Unavailable(why))
        }
        Ok(Err(error)) => {
            let why = format!("sent, and no answer: {}", error_chain(error));
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

/// Reads the body until its end, the limit, the deadline or an error: the status has decided already.
async fn beginning_of_body(response: &mut Response, deadline: Instant) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < MOST_BODY {
        match tokio::time::timeout_at(deadline.into(), response.chunk()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk[..chunk.len().min(MOST_BODY - body.len())]),
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    body
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
fn may_have_been_sent(error: &reqwest::Error) -> bool {
    !(error.is_builder() || error.is_connect() || causes(error).any(says_that_nothing_was_sent))
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
