//! What people did, as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::port::activity::Activity;

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActivityEntry {
    /// Rises with time.
    pub id: i64,
    /// When.
    pub at: String,
    /// Who.
    pub by: String,
    /// Of workers: `pause`, `resume`, `concurrency`, `rate`, `clear_concurrency`, `clear_rate`. Of orders: `cancel`, `hold`, `release`,
    /// `enqueue`. Of dead letters: `dead_retry`, `dead_discard`. Of a job: the same, where it was made, and `cancel_job`.
    pub action: String,
    /// The worker that it was done to; null for the fleet, and for other things than workers.
    pub worker: Option<String>,
    /// How much, how long or to what, in words; may be empty.
    pub detail: String,
    /// Why.
    pub why: String,
}

/// What people did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ActivityDocument {
    /// The newest first.
    pub activity: Vec<ActivityEntry>,
    /// Leads to the next page of the API; null on the last one.
    pub next_cursor: Option<String>,
}

impl From<Activity> for ActivityEntry {
    fn from(activity: Activity) -> Self {
        Self {
            id: activity.id,
            at: activity.at.to_string(),
            by: activity.decision.by,
            action: activity.action,
            worker: Some(activity.target).filter(|target| !target.is_empty()),
            detail: activity.detail,
            why: activity.decision.reason,
        }
    }
}
