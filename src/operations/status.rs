//! Looks at queue and orders.

use super::documents::status::{Place, StatusDocument, StoreStatus};
use crate::port::controls::Controls;
use crate::port::jobs::Jobs;
use crate::port::queue::QueueReports;
use crate::port::reports::Reports;
use crate::port::store::StoreError;

/// What queue and store say, and why one of them says nothing.
pub async fn status(
    queue: &dyn QueueReports,
    reports: &dyn Reports,
    controls: &dyn Controls,
    jobs: &dyn Jobs,
    place: Place,
) -> StatusDocument {
    let store = async {
        let set = controls.controls().await?;
        let jobs = jobs.open_jobs().await?;
        Ok::<_, StoreError>(StoreStatus::new(
            &reports.summary().await?,
            &reports.open_dead_letters().await?,
            &set,
            jobs,
        ))
    };
    let (queue, store) = tokio::join!(queue.depth(), store);
    let mut problems = Vec::new();
    let queue = queue.map_err(|error| problems.push(error.to_string())).ok();
    let store = store.map_err(|error| problems.push(error.to_string())).ok();
    let problem = (!problems.is_empty()).then(|| problems.join("; "));
    StatusDocument { queue: queue.map(Into::into), store: store.unwrap_or_default(), place, problem }
}

impl StatusDocument {
    /// Whether neither of them answers.
    pub fn says_nothing(&self) -> bool {
        self.queue.is_none() && self.store.orders.is_none()
    }
}
