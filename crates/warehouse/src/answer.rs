//! What goes back: a reply, padded and compressed as the behaviour has it, or nothing.

use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;

use super::behaviour::Behaviour;
use super::problem::Problem;

/// Marks a response in whose place the connection is to be cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut;

/// The end of a call.
pub(super) enum Answer {
    Reply(Reply),
    /// The connection is closed without a word.
    Cut,
}

/// A status and a JSON object, with what some answers have beside that.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    content_type: &'static str,
    /// Always an object.
    json: String,
    location: Option<String>,
    retry_after_seconds: Option<u64>,
}

impl Reply {
    pub(super) fn json(status: StatusCode, json: String) -> Self {
        Self { status, content_type: "application/json", json, location: None, retry_after_seconds: None }
    }

    pub(super) fn problem(problem: &Problem) -> Self {
        Self { content_type: "application/problem+json", ..Self::json(problem.status, problem.to_json()) }
    }

    pub(super) fn location(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    pub(super) fn retry_after(self, seconds: Option<u64>) -> Self {
        Self { retry_after_seconds: seconds, ..self }
    }

    fn with_body(self, body: Body) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, self.content_type)], body).into_response();
        let headers = response.headers_mut();
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Reply {
    fn into_response(mut self) -> Response {
        let body = Body::from(std::mem::take(&mut self.json));
        self.with_body(body)
    }
}

impl Answer {
    pub(super) fn into_response(self, behaviour: &Behaviour) -> Response {
        match self {
            Self::Cut => {
                let mut response = Response::default();
                response.extensions_mut().insert(Cut);
                response
            }
            Self::Reply(reply) if behaviour.padding_bytes == 0 && !behaviour.gzip => reply.into_response(),
            Self::Reply(mut reply) => {
                let padded = Padded::new(std::mem::take(&mut reply.json), behaviour);
                let body = Body::from_stream(stream::iter(padded));
                let mut response = reply.with_body(body);
                if behaviour.gzip {
                    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                response
            }
        }
    }
}

/// So much padding is made at a time.
static PIECE: [u8; 64 * 1024] = [b'0'; 64 * 1024];

/// The pieces of a JSON object that got one more, long field. Made as they are sent, so that a caller that stops
/// reading costs nothing more.
struct Padded {
    json: String,
    left: u64,
    stage: Stage,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

enum Stage {
    Begin,
    Padding,
    Over,
}

impl Padded {
    fn new(json: String, behaviour: &Behaviour) -> Self {
        let encoder = behaviour.gzip.then(|| GzEncoder::new(Vec::new(), Compression::best()));
        Self { json, left: behaviour.padding_bytes, stage: Stage::Begin, encoder }
    }

    /// What comes next, before compression; the last piece closes field and object.
    fn piece(&mut self) -> Option<Vec<u8>> {
        match self.stage {
            Stage::Begin if self.left == 0 => {
                self.stage = Stage::Over;
                Some(std::mem::take(&mut self.json).into_bytes())
            }
            Stage::Begin => {
                self.stage = Stage::Padding;
                let open = self.json.strip_suffix('}').unwrap_or(&self.json);
                Some(format!("{open},\"padding\":\"").into_bytes())
            }
            Stage::Padding if self.left == 0 => {
                self.stage = Stage::Over;
                Some(b"\"}".to_vec())
            }
            Stage::Padding => {
                let length = usize::try_from(self.left).unwrap_or(PIECE.len()).min(PIECE.len());
                self.left -= length as u64;
                Some(PIECE[..length].to_vec())
            }
            Stage::Over => None,
        }
    }
}

impl Iterator for Padded {
    type Item = std::io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(piece) = self.piece() else {
                let encoder = self.encoder.take()?;
                return Some(encoder.finish().map(Bytes::from));
            };
            let Some(encoder) = &mut self.encoder else { return Some(Ok(Bytes::from(piece))) };
            if let Err(error) = encoder.write_all(&piece) {
                return Some(Err(error));
            }
            // The encoder gives little for long: what it has so far is not worth a frame of its own.
            if encoder.get_ref().len() >= 4 * 1024 {
                return Some(Ok(Bytes::from(std::mem::take(encoder.get_mut()))));
            }
        }
    }
}
