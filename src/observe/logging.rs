//! Log lines on standard error: text for people, JSON for machines.

use std::io::{self, IsTerminal};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

pub use crate::config::LogFormat;
use crate::config::LogSettings;
use crate::observe::metrics::LogMessages;

mod event_log;
mod filter;
#[cfg(feature = "cli")]
mod notes;
mod rate_limit;

pub use event_log::EventLog;
pub use filter::{Filter, Log};
#[cfg(feature = "cli")]
pub(crate) use notes::show_warnings;

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
    /// There is no log any more.
    #[error("the log has ended, so its filter can't be changed")]
    Ended,
}

/// Environment variables that hold a filter, the first one set wins.
const FILTER_VARIABLES: [&str; 2] = ["FULFILLMENT_LOG", "RUST_LOG"];

/// Starts logging for the whole process, as configured.
///
/// # Errors
/// As [`init`].
pub fn start(settings: &LogSettings) -> Result<Log, LoggingError> {
    let filter = Filter::new(&settings.filter, &settings.filter_origin.to_string());
    init(settings.format.unwrap_or_else(LogFormat::detect), Some(filter))
}

/// As [`start`], with the lines going through `writer`: for a command that draws on the terminal too.
///
/// # Errors
/// As [`init`].
#[cfg(feature = "demo")]
pub fn start_through<W>(settings: &LogSettings, writer: W) -> Result<Log, LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = Filter::new(&settings.filter, &settings.filter_origin.to_string());
    install(settings.format.unwrap_or_else(LogFormat::detect), filter, writer)
}

/// Starts logging for the whole process.
///
/// `filter` wins over `FULFILLMENT_LOG`, that over `RUST_LOG`, and `info` holds where there is none. A line that
/// can't be written, say because the terminal is gone, is dropped.
///
/// # Errors
/// [`LoggingError::Filter`] names the place of a filter that is not understood.
pub fn init(format: LogFormat, filter: Option<Filter>) -> Result<Log, LoggingError> {
    let filter = filter.or_else(from_environment).unwrap_or_else(|| Filter::new("info", "default"));
    install(format, filter, io::stderr)
}

fn install<W>(format: LogFormat, filter: Filter, writer: W) -> Result<Log, LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (lines, log) = lines(format, filter, writer, colours)?;
    tracing_subscriber::registry().with(lines).try_init().map_err(|_| LoggingError::Started)?;
    Ok(log)
}

fn from_environment() -> Option<Filter> {
    FILTER_VARIABLES.into_iter().find_map(|name| {
        let filter = std::env::var(name).ok().filter(|filter| !filter.trim().is_empty());
        filter.map(|filter| Filter::new(&filter, name))
    })
}

/// Writes and counts the lines that the filter lets through. Other layers still see every line.
fn lines<W>(
    format: LogFormat,
    filter: Filter,
    writer: W,
    colours: bool,
) -> Result<(impl Layer<Registry> + Send + Sync, Log), LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (changeable, handle) = reload::Layer::new(filter.parse()?);
    let messages = LogMessages::default();
    let written = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours)
        // It would report a failed write by eprintln!, which panics when the terminal is gone.
        .log_internal_errors(false);
    let written = match format {
        LogFormat::Text => written.boxed(),
        LogFormat::Json => written.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    let layer = written.and_then(messages.clone()).with_filter(changeable);
    Ok((layer, Log::new(handle, messages, filter)))
}

#[cfg(test)]
mod tests;
