//! Log lines on standard error: text for people, JSON for machines.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

mod event_log;
mod rate_limit;

pub use event_log::EventLog;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for a person.
    Text,
    /// One JSON object a line, its fields beside `timestamp`, `level`, `target` and `message`.
    Json,
}

impl LogFormat {
    /// Text where standard error is a terminal, JSON otherwise.
    pub fn detect() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not one.
    #[error(
        "{origin}: log filter `{filter}` is not understood: {reason}; write it like `info` or `info,fulfillment_worker=debug`"
    )]
    Filter {
        /// Where it came from.
        origin: &'static str,
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It was started before in this process.
    #[error("logging was started before in this process")]
    Started,
}

/// Environment variables that hold a filter, the first one set wins.
const FILTER_VARIABLES: [&str; 2] = ["FULFILLMENT_LOG", "RUST_LOG"];

/// Starts logging for the whole process.
///
/// `filter` wins over `FULFILLMENT_LOG`, that over `RUST_LOG`, and `info` holds where there is none. A line that
/// can't be written, say because the terminal is gone, is dropped.
///
/// # Errors
/// [`LoggingError::Filter`] names the place of a filter that is not understood.
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<(), LoggingError> {
    let (origin, filter) = match filter {
        Some(filter) => ("--log", filter.to_owned()),
        None => from_environment().unwrap_or(("default", "info".to_owned())),
    };
    let filter = parse(origin, filter)?;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(format, filter, io::stderr, colours).try_init().map_err(|_| LoggingError::Started)
}

fn from_environment() -> Option<(&'static str, String)> {
    FILTER_VARIABLES.into_iter().find_map(|name| {
        let filter = std::env::var(name).ok().filter(|filter| !filter.trim().is_empty());
        filter.map(|filter| (name, filter))
    })
}

fn parse(origin: &'static str, filter: String) -> Result<EnvFilter, LoggingError> {
    EnvFilter::builder().parse(&filter).map_err(|error| LoggingError::Filter {
        origin,
        filter,
        reason: error.to_string(),
    })
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, writer: W, colours: bool) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colours)
        // It would report a failed write by eprintln!, which panics when the terminal is gone.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => Box::new(lines.finish()),
        LogFormat::Json => {
            Box::new(lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish())
        }
    }
}

#[cfg(test)]
mod tests;
