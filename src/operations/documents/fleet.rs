//! Workers and what is set for them, as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operations::controls::{Followed, SetControlJson, WorkerJson};

/// Workers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkersDocument {
    /// Those that report, and those that died within a day.
    pub workers: Vec<WorkerJson>,
    /// Leads to the next page of the API; null on the last one.
    pub next_cursor: Option<String>,
}

/// What is set for workers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ControlsDocument {
    /// Whether the request set or cleared something.
    pub changed: bool,
    /// What is set.
    pub controls: Vec<SetControlJson>,
    /// Leads to the next page of the API; null on the last one.
    pub next_cursor: Option<String>,
}

/// What came of a pause, or of its end.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FollowedDocument {
    /// Whether something was set or cleared.
    pub changed: bool,
    /// Who has followed.
    #[serde(flatten)]
    pub followed: Followed,
}
