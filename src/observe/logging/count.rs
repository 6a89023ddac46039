//! Counts log lines.

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::observe::metrics::LogMessages;

/// Belongs under the filter of the layer that writes, to count the same lines.
pub(super) struct CountMessages(pub(super) LogMessages);

impl<S: Subscriber> Layer<S> for CountMessages {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.count(*event.metadata().level());
    }
}
