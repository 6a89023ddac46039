//! Builds requests: the order as JSON, its key, and the worker's credentials.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Request};
use serde::Serialize;
use url::Url;

use super::error::{HttpFulfillerError, error_chain};
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
        // The client moves user and password of a URL to the header, and knows how they are written.
        let template = client.post(target.url.expose().clone()).build();
        let template = template.map_err(|error| HttpFulfillerError::Client(error_chain(error)))?;
        let url = template.url().clone();
        let mut authorization = match &target.token {
            Some(token) => {
                let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
                Some(bearer.map_err(|_| HttpFulfillerError::Token)?)
            }
            None => template.headers().get(AUTHORIZATION).cloned(),
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
        let mut request = Request::new(reqwest::Method::POST, self.url.clone());
        let body = body(order);
        self.identify(request.headers_mut(), order, key, &body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        request
    }

    /// The request that asks how an accepted order is getting on.
    pub(super) fn status(&self, url: &Url, order: &Order, key: &IdempotencyKey) -> Request {
        let mut request = Request::new(reqwest::Method::GET, url.clone());
        self.identify(request.headers_mut(), order, key, b"");
        request
    }

    fn identify(&self, headers: &mut HeaderMap, order: &Order, key: &IdempotencyKey, body: &[u8]) {
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
    }
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
