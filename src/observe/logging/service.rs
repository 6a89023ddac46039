//! The name of the service in every line; and of a line of JSON, what others wrote, made fit to be shown.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::domain::text;

/// The field that has it in JSON.
const FIELD: &str = "service";

/// For text: behind the time, where syslog has it.
pub(super) struct AfterTime(pub(super) String);

impl FormatTime for AfterTime {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        SystemTime.format_time(out)?;
        write!(out, " {}", self.0)
    }
}

/// For JSON: a field of its own in front of those that `format` writes.
pub(super) struct WithField<F> {
    format: F,
    /// As JSON.
    service: String,
}

impl<F> WithField<F> {
    pub(super) fn new(format: F, service: &str) -> Self {
        Self { format, service: text::json_log(&serde_json::Value::from(service).to_string()) }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithField<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            // No key twice.
            Some(rest) if event.metadata().fields().field(FIELD).is_none() => {
                write!(out, "{{\"{FIELD}\":{},{}", self.service, text::json_log(rest))
            }
            _ => out.write_str(&text::json_log(&line)),
        }
    }
}
