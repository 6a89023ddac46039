//! What operators decide through the API as log lines.

use tracing::info;

use crate::event::ApiEvent;

pub(super) fn api(event: &ApiEvent<'_>) {
    match *event {
        ApiEvent::Decided { by, path, status } => {
            info!(by, path, status, "an operator sent a decision to the API, or a dry run of one");
        }
        ApiEvent::Answered { .. } => {}
    }
}
