//! Log lines on standard error: text for people, JSON for machines.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tracing::field::display;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

pub use crate::config::LogFormat;
use crate::config::LogSettings;
use crate::domain::text;
use crate::observe::metrics::LogMessages;
use crate::threads;

mod api;
mod controls;
mod event_log;
mod fields;
mod filter;
mod jobs;
#[cfg(feature = "cli")]
mod notes;
mod queue;
mod rate_limit;
mod service;
mod trends;

pub use event_log::EventLog;
use fields::ShownFields;
pub use filter::{Filter, Log};
#[cfg(feature = "cli")]
pub(crate) use notes::show_warnings;
use queue::LineQueue;
use service::{AfterTime, WithField};

/// Logging could not start, or its filter could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter can't be parsed.
    #[error(
        "{origin}: log filter `{filter}` is not understood: {reason}; write it like `info` or `info,fulfillment_worker=debug`"
    )]
    Filter {
        /// Where it came from.
        origin: String,
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It was started before in this process.
    #[error("logging was started before in this process")]
    Started,
    /// The thread that writes it can't be had.
    #[error("the log's thread can't be started: {0}")]
    Thread(io::Error),
    /// There is no log any more.
    #[error("the log has ended, so its filter can't be changed")]
    Ended,
}

/// The lines of this process, once it keeps a log.
static LINES: OnceLock<LineQueue> = OnceLock::new();

/// Starts logging for the whole process, as configured. Panics become lines of the log, too.
///
/// Nothing waits for the log: a line that can't be written, say because nobody reads or the terminal is gone, is dropped and
/// counted. At the end, [`flush`] writes what is left.
///
/// # Errors
/// [`LoggingError::Filter`] names the place of a filter that is not understood.
pub fn start(settings: &LogSettings) -> Result<Log, LoggingError> {
    start_on(settings, io::stderr())
}

/// As [`start`], with the lines written to `out`: for a command that draws on the terminal too.
///
/// # Errors
/// As [`start`].
pub fn start_on(settings: &LogSettings, out: impl Write + Send + 'static) -> Result<Log, LoggingError> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let messages = LogMessages::default();
    let queue = LineQueue::new(messages.dropped().clone());
    let (lines, log) = lines(settings, messages, queue.clone(), colours)?;
    tracing_subscriber::registry().with(lines).try_init().map_err(|_| LoggingError::Started)?;
    threads::spawn("log", {
        let queue = queue.clone();
        move || queue.write_to(out, report_gap)
    })
    .map_err(LoggingError::Thread)?;
    // The first one stays, as the subscriber above does.
    let _ = LINES.set(queue);
    panic::set_hook(Box::new(report_panic));
    Ok(log)
}

/// Waits until the log's lines are written, for at most `limit`. Does nothing where no log was started.
pub fn flush(limit: Duration) {
    if let Some(lines) = LINES.get() {
        lines.flush(limit);
    }
}

/// Writes a line that is no message, such as the error that ends the process, behind those of the log. Returns false where
/// there is no log.
#[cfg(feature = "cli")]
pub(crate) fn note(line: &str) -> bool {
    LINES.get().map(|lines| lines.enter(format!("{line}\n").as_bytes())).is_some()
}

fn report_gap(lines: u64) {
    tracing::warn!(
        lines,
        "lines of the log are missing here: its reader was too slow; the metrics count what happened"
    );
}

/// The hook of the standard library writes to standard error itself, and would wait for its reader.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| display(backtrace));
    let (thread, location) = (thread::current(), panic.location().map(display));
    let reason = panic.payload_as_str().unwrap_or("unknown");
    tracing::error!(reason, location, thread = thread.name(), backtrace, "a panic");
}

/// Writes and counts the lines that the filter lets through. Other layers still see every line.
fn lines<W>(
    settings: &LogSettings,
    messages: LogMessages,
    writer: W,
    colours: bool,
) -> Result<(impl Layer<Registry> + Send + Sync, Log), LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = Filter::new(&settings.filter, &settings.filter_origin.to_string());
    let (changeable, handle) = reload::Layer::new(filter.parse()?);
    let written = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours)
        // It would report a failed write by eprintln!, which panics when the terminal is gone.
        .log_internal_errors(false);
    let service = &settings.service_name;
    let written = match settings.format.unwrap_or_else(LogFormat::detect) {
        LogFormat::Text => {
            let service = text::line(service).into_owned();
            written.fmt_fields(ShownFields).with_timer(AfterTime(service)).boxed()
        }
        LogFormat::Json => {
            let written = written.json().flatten_event(true).with_current_span(false).with_span_list(false);
            written.map_event_format(|format| WithField::new(format, service)).boxed()
        }
    };
    let layer = written.and_then(messages.clone()).with_filter(changeable);
    Ok((layer, Log::new(handle, messages, filter)))
}

#[cfg(test)]
mod tests;
