//! What people did, with who and why: the last of it.
//!
//! A control or a job and its entry are written together or not at all. A decision about orders or dead letters that are named by
//! their ids is noted after it: each order's timeline and each letter have it in any case.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::port::controls::Control;
use crate::port::dead_letters::Decision;
use crate::port::store::StoreError;

/// Notes and lists. The last 10,000 entries are kept.
///
/// ```
/// # use fulfillment_worker::port::activity::ActivityLog;
/// # use fulfillment_worker::port::store::StoreError;
/// /// The last ten things that people did.
/// async fn lately(store: &dyn ActivityLog) -> Result<Vec<String>, StoreError> {
///     let entries = store.activity(i64::MAX, 10).await?;
///     Ok(entries.into_iter().map(|entry| format!("{} by {}", entry.action, entry.decision.by)).collect())
/// }
/// ```
#[async_trait]
pub trait ActivityLog: Send + Sync {
    /// Appends what somebody did to other things than workers. Repeated, it stands there twice.
    async fn append(&self, action: &str, detail: &str, decision: &Decision) -> Result<(), StoreError>;

    /// At most `limit` entries with an id below `before`, the newest first.
    async fn activity(&self, before: i64, limit: usize) -> Result<Vec<Activity>, StoreError>;
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Rises with time.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What, such as `pause`, `clear_rate` or `cancel`.
    pub action: String,
    /// To which worker, by its identity; empty for the fleet, and for other things than workers.
    pub target: String,
    /// How much, how long or to what, in words.
    pub detail: String,
    /// Who, and why.
    pub decision: Decision,
}

impl Activity {
    /// What is noted of a control that is set.
    pub(crate) fn detail(value: Option<f64>, lasts: Option<Duration>) -> String {
        let lasts = lasts.map(|lasts| format!("for {}", humantime::format_duration(lasts)));
        let parts = value.map(|value| value.to_string()).into_iter().chain(lasts);
        parts.collect::<Vec<_>>().join(" ")
    }

    /// What is noted when one is cleared.
    pub(crate) fn clearing(control: Control) -> &'static str {
        match control {
            Control::Pause => "resume",
            Control::Concurrency => "clear_concurrency",
            Control::Rate => "clear_rate",
        }
    }
}
