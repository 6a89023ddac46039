//! What commands say that keep no log.

use std::fmt;
use std::io;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::fields::ShownFields;

/// What such a command may warn of: how its connections are protected.
const TARGETS: [&str; 4] = [
    "fulfillment_worker::backend::pem_files",
    "fulfillment_worker::backend::postgres::negotiation",
    "fulfillment_worker::backend::postgres::tls",
    "fulfillment_worker::backend::redis::servers",
];

/// Shows warnings of connections on standard error, as lines for people. Does nothing where a log was started before.
pub(crate) fn show_warnings() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .fmt_fields(ShownFields)
        .log_internal_errors(false)
        .event_format(Plain)
        .with_filter(Targets::new().with_targets(TARGETS.map(|target| (target, Level::WARN))));
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// The message, as a command's other lines are.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(out, "warning: ")?;
        context.format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}
