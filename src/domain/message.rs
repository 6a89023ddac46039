//! The message on the queue: a JSON object that names an order. See [`decode`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use sha1_smol::Sha1;

use crate::domain::order::OrderId;
use crate::domain::text;
use crate::domain::trace_context::TraceContext;

/// The largest message that is read, in bytes. Anything longer is poison.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// A message that says "look at this order".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Key of the order, at least 1.
    pub order_id: i64,
    /// Key of the product, at least 1. The order's row has the last word.
    pub product_id: i64,
    /// Pieces, at least 1. The order's row has the last word.
    pub quantity: i64,
    /// Follows the order into logs and traces, see [`text::correlation_id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// W3C Trace Context, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When it was enqueued, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The order is not to be begun before this time, RFC 3339 with a zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
}

impl Message {
    /// The order that the message names.
    pub fn order_id(&self) -> OrderId {
        OrderId(self.order_id)
    }

    /// [`Message::not_before`] in microseconds since 1970-01-01 00:00 UTC.
    pub fn not_before_micros(&self) -> Option<i64> {
        Some(self.not_before.as_deref()?.parse::<jiff::Timestamp>().ok()?.as_microsecond())
    }

    /// The bytes to push.
    pub fn encode(&self) -> Vec<u8> {
        // Integers and strings under string keys: there is nothing here that JSON can't say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// How much of a longer message is hashed, in bytes.
pub const HASHED_BYTES: usize = 1024 * 1024;

/// What is kept of a message over [`MAX_MESSAGE_BYTES`], beside that many of its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oversized {
    /// The length of the whole message.
    pub bytes: u64,
    /// The SHA-1 of its first [`HASHED_BYTES`], or of all of them, as 40 hexadecimal digits. With `bytes` it tells one
    /// message from another; Redis can compute no other hash, and takes long for this one.
    pub sha1: String,
}

impl Oversized {
    /// Of a message of so many `bytes`, of which `first` has at least [`HASHED_BYTES`], or all.
    pub fn of(first: &[u8], bytes: u64) -> Self {
        let hashed = first.get(..HASHED_BYTES).unwrap_or(first);
        Self { bytes, sha1: Sha1::from(hashed).digest().to_string() }
    }
}

/// How [`Poison::TooLarge`] begins, in dead letters too.
pub(crate) const TOO_LARGE: &str = "message of ";

/// The reason why bytes are not a [`Message`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error(
        "{TOO_LARGE}{} bytes is over the limit of {MAX_MESSAGE_BYTES}; only so many are kept; SHA-1 of the first {}: {}",
        .0.bytes, .0.bytes.min(HASHED_BYTES as u64), .0.sha1
    )]
    TooLarge(Oversized),
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
/// Unknown fields are ignored, and so is an optional field of another type or form: a message that names an order is
/// never refused for them. An empty one counts as absent, and of one that stands twice the last value counts.
///
/// # Errors
/// [`Poison`] says what is wrong. Never panics, whatever the bytes.
pub fn decode(bytes: &[u8]) -> Result<Message, Poison> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Poison::TooLarge(Oversized::of(bytes, bytes.len() as u64)));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Poison::NotUtf8(error.valid_up_to()))?;
    let message: Message = serde_json::from_str(text).map_err(|error| Poison::Malformed(error.to_string()))?;
    for (field, value) in
        [("order_id", message.order_id), ("product_id", message.product_id), ("quantity", message.quantity)]
    {
        if value < 1 {
            return Err(Poison::Field { field, problem: format!("{value} is below 1") });
        }
    }
    Ok(message)
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Message;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Message, A::Error> {
        let (mut order_id, mut product_id, mut quantity) = (None, None, None);
        let (mut correlation_id, mut traceparent, mut timestamp, mut not_before) = (None, None, None, None);
        while let Some(name) = fields.next_key()? {
            match name {
                Name::OrderId => required("order_id", &mut order_id, &mut fields)?,
                Name::ProductId => required("product_id", &mut product_id, &mut fields)?,
                Name::Quantity => required("quantity", &mut quantity, &mut fields)?,
                Name::CorrelationId => correlation_id = string(fields.next_value()?),
                Name::Traceparent => traceparent = string(fields.next_value()?),
                Name::Timestamp => timestamp = string(fields.next_value()?),
                Name::NotBefore => not_before = string(fields.next_value()?),
                Name::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Message {
            order_id: order_id.ok_or_else(|| A::Error::missing_field("order_id"))?,
            product_id: product_id.ok_or_else(|| A::Error::missing_field("product_id"))?,
            quantity: quantity.ok_or_else(|| A::Error::missing_field("quantity"))?,
            correlation_id: correlation_id.as_deref().and_then(text::correlation_id),
            traceparent: traceparent.filter(|parent| TraceContext::parse(parent).is_some()).map(Cow::into_owned),
            timestamp: timestamp.filter(|timestamp| timestamp.parse::<jiff::Timestamp>().is_ok()).map(Cow::into_owned),
            not_before: not_before.filter(|time| time.parse::<jiff::Timestamp>().is_ok()).map(Cow::into_owned),
        })
    }
}

fn required<'de, A: MapAccess<'de>>(
    name: &'static str,
    field: &mut Option<i64>,
    fields: &mut A,
) -> Result<(), A::Error> {
    if field.replace(fields.next_value()?).is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    Ok(())
}

/// The name of a field. Read as bytes, since serde_json refuses half of a surrogate pair in a string, and the whole message
/// with it.
enum Name {
    OrderId,
    ProductId,
    Quantity,
    CorrelationId,
    Traceparent,
    Timestamp,
    NotBefore,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
        Ok(match bytes {
            b"order_id" => Name::OrderId,
            b"product_id" => Name::ProductId,
            b"quantity" => Name::Quantity,
            b"correlation_id" => Name::CorrelationId,
            b"traceparent" => Name::Traceparent,
            b"timestamp" => Name::Timestamp,
            b"not_before" => Name::NotBefore,
            _ => Name::Other,
        })
    }
}

/// The text of a value that is a string; copied only where something in it is escaped. Any other value, of any size and
/// depth, is passed over unread.
fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if !quoted.contains('\\') {
        return Some(quoted.into());
    }
    serde_json::from_str(value.get()).ok().map(|Lossy(text)| text.into())
}

/// A JSON string as text. Half of a surrogate pair, which JSON can escape and UTF-8 can't hold, becomes `U+FFFD`.
struct Lossy(String);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(LossyVisitor).map(Self)
    }
}

struct LossyVisitor;

impl Visitor<'_> for LossyVisitor {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests;
