//! The history that this worker keeps as log lines.

use tracing::warn;

use crate::event::TrendsEvent;

pub(super) fn trends(event: &TrendsEvent<'_>) {
    match *event {
        TrendsEvent::Unwritten { error, failures: 1, .. } => {
            warn!(error, "the history can't be written; up to four hours of it are kept in memory until it can");
        }
        TrendsEvent::Unwritten { .. } | TrendsEvent::Written { .. } => {}
    }
}
