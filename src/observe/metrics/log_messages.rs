//! Lines of the log, counted by whoever writes them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tracing::Level;

use super::labelled::Labelled;

const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// How many lines were logged, by level. Clones count together: the log begins before there are metrics to show it.
#[derive(Debug, Clone)]
pub struct LogMessages(Labelled<Level, Counter>);

impl Default for LogMessages {
    fn default() -> Self {
        Self(Labelled::new("level", &LEVELS, name, Counter::default))
    }
}

impl LogMessages {
    /// Counts one more line.
    pub fn count(&self, level: Level) {
        self.0.with(level, Counter::inc);
    }

    pub(super) fn register(self, registry: &mut Registry) {
        let help = "Lines written to the log, after its filter, by level";
        registry.register("fulfillment_log_messages", help, self.0);
    }
}
