//! The lines written to the log.

use enum_map::Enum;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::labelled::Labelled;

#[derive(Debug, Clone, Copy, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            Level::DEBUG => Self::Debug,
            Level::TRACE => Self::Trace,
        }
    }
}

/// How many lines were logged, by level, and how many were dropped. Clones count together: the log begins before there are
/// metrics to show it. As a layer, belongs under the filter of the one that writes.
#[derive(Debug, Clone)]
pub struct LogMessages {
    logged: Labelled<LogLevel, Counter>,
    dropped: Counter,
}

impl Default for LogMessages {
    fn default() -> Self {
        Self { logged: Labelled::new("level"), dropped: Counter::default() }
    }
}

impl<S: Subscriber> Layer<S> for LogMessages {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.logged[(*event.metadata().level()).into()].inc();
    }
}

impl LogMessages {
    /// Counts the lines that could not be written.
    pub fn dropped(&self) -> &Counter {
        &self.dropped
    }

    pub(super) fn register(self, registry: &mut Registry) {
        let help = "Lines of the log, after its filter, by level";
        registry.register("fulfillment_log_messages", help, self.logged);
        let help = "Lines of the log that were dropped, as its reader was too slow or gone";
        registry.register("fulfillment_log_messages_dropped", help, self.dropped);
    }
}
