//! The metrics of operators' bulk work.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::labelled::Labelled;
use super::registering::{Count, metrics};
use crate::event::JobsEvent;
use crate::port::jobs::Outcome;

/// What became of one dead letter or order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Item {
    Done,
    Skipped,
    Refused,
}

metrics! {
    pub(super) struct JobsMetrics {
        /// Jobs of operators that have not ended, as this worker last counted them
        open: Count = "fulfillment_jobs_open", Count::default();
        /// Dead letters and orders that this worker decided about for a job, by what became of them
        items: Labelled<Item, Counter> = "fulfillment_job_items", Labelled::new("result");
        /// Tries of this worker to get on with a job that came to nothing
        stuck: Counter = "fulfillment_jobs_stuck", Counter::default();
        /// Jobs that came to their end in this worker's hands, by how
        ended: Labelled<Outcome, Counter> = "fulfillment_jobs_ended", Labelled::new("outcome");
    }
}

impl JobsMetrics {
    pub(super) fn observe(&self, event: &JobsEvent<'_>) {
        match *event {
            JobsEvent::Open(jobs) => _ = self.open.set(jobs),
            JobsEvent::Began { .. } => {}
            JobsEvent::Decided { done, skipped, refused } => {
                for (item, count) in [(Item::Done, done), (Item::Skipped, skipped), (Item::Refused, refused)] {
                    self.items[item].inc_by(count);
                }
            }
            JobsEvent::Stuck { .. } => _ = self.stuck.inc(),
            JobsEvent::Ended { outcome, .. } => _ = self.ended[outcome].inc(),
        }
    }
}
