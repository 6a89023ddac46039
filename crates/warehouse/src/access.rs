//! Who may call: bearer token and Standard Webhooks signature.

use axum::http::{HeaderMap, StatusCode, header};
use standardwebhooks::{Webhook, WebhookError};
use subtle::ConstantTimeEq;

use super::problem::Problem;

const WEBHOOK_ID: &str = standardwebhooks::HEADER_WEBHOOK_ID;
const WEBHOOK_TIMESTAMP: &str = standardwebhooks::HEADER_WEBHOOK_TIMESTAMP;
const WEBHOOK_SIGNATURE: &str = standardwebhooks::HEADER_WEBHOOK_SIGNATURE;

/// Why token or secrets can't be used. Doesn't quote them.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No caller could send such a token.
    #[error("--token must be 1 or more visible ASCII characters")]
    Token,
    /// Not in the form of Standard Webhooks.
    #[error("--secret must be whsec_ and then the secret in Base64")]
    Secret,
}

/// What callers have to show; nothing, if nothing is set.
pub(super) struct Access {
    token: Option<String>,
    secrets: Vec<Webhook>,
}

impl Access {
    pub(super) fn new(token: Option<String>, secrets: &[String]) -> Result<Self, AccessError> {
        let sendable = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !token.iter().all(sendable) {
            return Err(AccessError::Token);
        }
        let read = |secret: &String| match secret.strip_prefix("whsec_") {
            Some(encoded) if !encoded.is_empty() => Webhook::new(encoded).map_err(|_| AccessError::Secret),
            _ => Err(AccessError::Secret),
        };
        Ok(Self { token, secrets: secrets.iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Whether the token is right.
    pub(super) fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
        let (scheme, shown) = shown.split_at(shown.len().min("Bearer ".len()));
        if scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(shown.ct_eq(token.as_bytes())) {
            return Ok(());
        }
        Err(Problem::of(StatusCode::UNAUTHORIZED, "Authorization", "there must be the right token, as `Bearer TOKEN`"))
    }

    /// Whether one of the secrets signed the body, which may be empty, at most five minutes ago, for this key.
    pub(super) fn check_signature(&self, headers: &HeaderMap, key: &str, body: &[u8]) -> Result<(), Problem> {
        if self.secrets.is_empty() {
            return Ok(());
        }
        let mut last = Ok(());
        for secret in &self.secrets {
            last = secret.verify(body, headers);
            if last.is_ok() {
                break;
            }
        }
        let refuse = |field, detail: String| Err(Problem::of(StatusCode::UNAUTHORIZED, field, detail));
        match last {
            Ok(()) if headers.get(WEBHOOK_ID).is_some_and(|id| id == key) => Ok(()),
            Ok(()) => refuse(WEBHOOK_ID, "must be the order's key".to_owned()),
            Err(
                error @ (WebhookError::InvalidTimestamp
                | WebhookError::TimestampTooOldError
                | WebhookError::FutureTimestampError),
            ) => refuse(WEBHOOK_TIMESTAMP, error.to_string()),
            Err(error) => refuse(WEBHOOK_SIGNATURE, error.to_string()),
        }
    }
}
