//! The message on the queue: a JSON object that names an order. See [`decode`].

use serde::{Deserialize, Serialize};

use crate::domain::order::OrderId;
use crate::domain::trace_context::TraceContext;

/// The largest message that is read, in bytes. Anything longer is poison.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// A message that says "look at this order".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Key of the order, at least 1.
    pub order_id: i64,
    /// Key of the product, at least 1. The order's row has the last word.
    pub product_id: i64,
    /// Pieces, at least 1. The order's row has the last word.
    pub quantity: i64,
    /// Follows the order into logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// W3C Trace Context, as it came. A malformed one is dropped, never an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When it was enqueued, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

impl Message {
    /// The order that the message names.
    pub fn order_id(&self) -> OrderId {
        OrderId(self.order_id)
    }

    /// The bytes to push.
    pub fn encode(&self) -> Vec<u8> {
        // Integers and strings under string keys: there is nothing here that JSON can't say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The reason why bytes are not a [`Message`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("message of {0} bytes is over the limit of {MAX_MESSAGE_BYTES}")]
    TooLarge(usize),
    /// Not UTF-8.
    #[error("not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    /// Not JSON, or not an object with the fields that a message needs. Says which and where.
    #[error("not an order message: {0}")]
    Malformed(String),
    /// A field holds a value that no order can have.
    #[error("field `{field}`: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads a message.
///
/// Unknown fields are ignored; an empty or malformed `traceparent` and an empty `correlation_id` or `timestamp` count
/// as absent.
///
/// # Errors
/// [`Poison`] says what is wrong. Never panics, whatever the bytes.
pub fn decode(bytes: &[u8]) -> Result<Message, Poison> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Poison::TooLarge(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Poison::NotUtf8(error.valid_up_to()))?;
    let mut message: Message = serde_json::from_str(text).map_err(|error| Poison::Malformed(error.to_string()))?;
    // An array of the fields' values does for serde.
    if !text.trim_start().starts_with('{') {
        return Err(Poison::Malformed("not a JSON object".to_owned()));
    }
    for (field, value) in
        [("order_id", message.order_id), ("product_id", message.product_id), ("quantity", message.quantity)]
    {
        if value < 1 {
            return Err(Poison::Field { field, problem: format!("{value} is below 1") });
        }
    }
    message.correlation_id = message.correlation_id.filter(|id| !id.is_empty());
    // Postgres text can't hold NUL; an id with one would fail its whole row for a thing nobody can read anyway.
    if message.correlation_id.as_ref().is_some_and(|id| id.contains('\0')) {
        return Err(Poison::Field { field: "correlation_id", problem: "contains a NUL character".to_owned() });
    }
    message.traceparent = message.traceparent.filter(|parent| TraceContext::parse(parent).is_some());
    message.timestamp = message.timestamp.filter(|timestamp| !timestamp.is_empty());
    if let Some(timestamp) = &message.timestamp
        && let Err(error) = timestamp.parse::<jiff::Timestamp>()
    {
        return Err(Poison::Field { field: "timestamp", problem: format!("not RFC 3339: {error}") });
    }
    Ok(message)
}

#[cfg(test)]
mod tests;
