//! Builds requests: the order as JSON, its key, and the worker's credentials.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use url::Url;

use super::client::Client;
use super::error::HttpFulfillerError;
use super::redaction::Redaction;
use super::signature::Signer;
use crate::config::HttpTarget;
use crate::domain::order::{IdempotencyKey, Order, iso_8601};
use crate::domain::trace_context::TraceContext;

/// The body, in the order of its fields.
#[derive(Serialize)]
struct Body<'a> {
    order_id: i64,
    product_id: i64,
    product: Option<&'a str>,
    quantity: i64,
    created_at: Option<String>,
    correlation_id: Option<&'a str>,
    attempt: u32,
}

/// A request, before it goes out.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Makes requests to one warehouse.
pub(super) struct Requests {
    pub(super) client: Client,
    /// Without user and password, which are in `authorization`.
    url: Url,
    authorization: Option<HeaderValue>,
    signer: Option<Signer>,
    /// What an answer must not bring into a log or table, should it quote the request.
    pub(super) redaction: Redaction,
}

impl Requests {
    /// `before` has the secrets that were in use until now.
    pub(super) fn new(
        client: Client,
        target: &HttpTarget,
        before: Option<&Redaction>,
    ) -> Result<Self, HttpFulfillerError> {
        let mut url = target.url.expose().clone();
        let basic = basic(&url);
        // Nothing but `data:` and its like refuses these.
        let _ = (url.set_username(""), url.set_password(None));
        if url.as_str().parse::<Uri>().is_err() {
            return Err(HttpFulfillerError::Url);
        }
        let mut authorization = match &target.token {
            Some(token) => {
                let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
                Some(bearer.map_err(|_| HttpFulfillerError::Token)?)
            }
            None => basic,
        };
        let redaction = Redaction::new(target, authorization.as_ref(), before);
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        let signer = match target.signing_secrets.as_slice() {
            [] => None,
            secrets => Some(Signer::new(secrets.iter().map(|secret| secret.expose()))?),
        };
        Ok(Self { client, url, authorization, signer, redaction })
    }

    /// The request that asks for an order to be fulfilled.
    pub(super) fn order(&self, order: &Order, key: &IdempotencyKey) -> Request {
        let body = body(order);
        let mut headers = self.headers(order, key, &body);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Request { method: Method::POST, url: self.url.clone(), headers, body }
    }

    /// The request that asks how an accepted order is getting on.
    pub(super) fn status(&self, url: &Url, order: &Order, key: &IdempotencyKey) -> Request {
        Request { method: Method::GET, url: url.clone(), headers: self.headers(order, key, b""), body: Vec::new() }
    }

    fn headers(&self, order: &Order, key: &IdempotencyKey, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut insert = |name: &'static str, text: &str| {
            // None of these texts holds anything that a header can't.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        let key = key.to_string();
        insert("idempotency-key", &key);
        // Written anew, so nothing but a trace context goes out under this name.
        if let Some(trace) = order.traceparent.as_deref().and_then(TraceContext::parse) {
            insert("traceparent", &trace.to_string());
        }
        if let Some(signer) = &self.signer {
            // A clock before 1970 signs nothing that anybody accepts, and is told so by the warehouse.
            let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let timestamp = i64::try_from(timestamp.as_secs()).unwrap_or(i64::MAX);
            insert("webhook-id", &key);
            insert("webhook-timestamp", &timestamp.to_string());
            insert("webhook-signature", &signer.sign(&key, timestamp, body));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("fulfillment-worker/", env!("CARGO_PKG_VERSION"))));
        headers
    }
}

/// User and password of a URL as a header.
fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let credentials = [decoded(url.username()), b":".to_vec(), decoded(url.password().unwrap_or_default())].concat();
    HeaderValue::try_from(format!("Basic {}", BASE64.encode(credentials))).ok()
}

fn body(order: &Order) -> Vec<u8> {
    let body = Body {
        order_id: order.id.0,
        product_id: order.product_id,
        product: order.product.as_deref(),
        quantity: order.quantity,
        created_at: order.created_at_micros.and_then(iso_8601),
        correlation_id: order.correlation_id.as_deref(),
        attempt: order.attempt,
    };
    // Numbers and strings under fixed names: there is nothing here that JSON can't say.
    serde_json::to_vec(&body).unwrap_or_default()
}
