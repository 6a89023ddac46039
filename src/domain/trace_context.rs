//! Which span something belongs to, as it travels in a `traceparent`: the one reader and the one writer of the header.

use std::fmt;

/// A span's ids in W3C Trace Context (<https://www.w3.org/TR/trace-context/#traceparent-header>). Displays as a
/// `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace that the span is part of.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
    /// Whether the trace is recorded. Only a recorded trace can be looked up.
    pub sampled: bool,
}

/// Displays as 32 hexadecimal digits. Zero is no valid id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub u128);

/// Displays as 16 hexadecimal digits. Zero is no valid id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub u64);

impl TraceContext {
    /// Reads a `traceparent` of any version; `None` if it is malformed. Of the flags, only `sampled` is kept.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut fields = traceparent.splitn(5, '-');
        let version = hex(fields.next()?, 2)?;
        let trace_id = hex(fields.next()?, 32)?;
        let span_id = u64::try_from(hex(fields.next()?, 16)?).ok()?;
        let flags = hex(fields.next()?, 2)?;
        // Later versions may append fields, version 00 has no others, and ff is reserved.
        let is_readable = version != 0xff && (version > 0 || fields.next().is_none());
        let context = Self { trace_id: TraceId(trace_id), span_id: SpanId(span_id), sampled: flags & 1 == 1 };
        (is_readable && trace_id != 0 && span_id != 0).then_some(context)
    }
}

/// Exactly so many digits, in lower case as the standard demands.
fn hex(field: &str, digits: usize) -> Option<u128> {
    let is_hex = field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| u128::from_str_radix(field, 16).ok()).flatten()
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn rewritten(traceparent: &str) -> Option<String> {
        TraceContext::parse(traceparent).map(|context| context.to_string())
    }

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        let small_ids = "00-0000000000000000000000000000000a-000000000000000b-00";
        for text in [SAMPLED, &SAMPLED.replace("-01", "-00"), small_ids] {
            assert_eq!(rewritten(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_version_00_goes() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what.the.future.brings";
        assert_eq!(rewritten(later).as_deref(), Some(SAMPLED));
    }

    #[test]
    fn a_malformed_traceparent_is_none() {
        for text in [
            "",
            "00",
            "nonsense",
            "00-xyz-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\u{e9}-1",
            "000af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01aa",
            &SAMPLED[..52],
            &SAMPLED.replace("00-", "ff-"),
            &format!("{SAMPLED}-extra"),
            &format!("{SAMPLED}\r\n"),
        ] {
            assert_eq!(rewritten(text), None, "{text:?}");
        }
    }
}
