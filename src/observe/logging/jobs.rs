//! The bulk work of operators as log lines.

use tracing::{info, warn};

use crate::domain::label::Label;
use crate::event::JobsEvent;

pub(super) fn jobs(event: &JobsEvent<'_>) {
    match *event {
        JobsEvent::Began { id, kind } => info!(job = id, kind, "goes on with a job"),
        JobsEvent::Stuck { id, problem } => {
            warn!(job = id, problem, "a job doesn't get on; whoever is free tries again, and `jobs cancel` ends it");
        }
        JobsEvent::Ended { id, outcome, done, refused } => {
            info!(job = id, outcome = outcome.as_str(), done, refused, "a job has ended");
        }
        JobsEvent::Open(_) | JobsEvent::Decided { .. } => {}
    }
}
