//! Bulk work of operators, beside the engine.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::event::Observers;
use crate::operations::jobs::{JobBackends, JobRunner};
use crate::service::backends::Opened;

impl Opened {
    /// The roles that jobs need.
    pub fn for_jobs(&self) -> JobBackends {
        JobBackends {
            queue: self.queue.producer.clone(),
            jobs: self.store.jobs.clone(),
            dead_letters: self.store.dead_letters.clone(),
            decisions: self.store.decisions.clone(),
            search: self.store.search.clone(),
            reports: self.store.reports.clone(),
        }
    }
}

/// Works on jobs until `drain` is cancelled, and leaves the one under way to others.
pub(super) fn start(
    settings: &Settings,
    opened: &Opened,
    observers: &Observers,
    drain: &CancellationToken,
) -> JoinHandle<()> {
    let (backends, lease) = (opened.for_jobs(), settings.backends.lease);
    tokio::spawn(JobRunner { backends, observers: observers.clone(), lease, stop: drain.clone() }.run())
}
