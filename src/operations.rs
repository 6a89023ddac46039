//! What people do to orders, and how it is put in words.

use std::time::Duration;

use serde::Serializer;
use serde::ser::SerializeStruct;

use crate::domain::order::OrderId;
use crate::port::queue::QueueError;
use crate::port::store::StoreError;

mod activity;
pub mod adoption;
pub mod controls;
pub mod cursor;
pub mod decide;
pub mod doctor;
pub mod documents;
pub mod enqueue;
pub mod events;
pub mod groups;
pub mod hand_back;
pub mod history;
pub mod horizon;
pub mod import;
pub mod jobs;
pub mod letters;
pub mod matching;
pub mod overdue;
pub mod redrive;
pub mod search;
pub mod status;
pub mod trends;
pub mod verify;

/// `1 order`, `2 orders`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// An age of a document.
pub(crate) fn seconds(age: f64) -> Duration {
    Duration::try_from_secs_f64(age).unwrap_or_default()
}

/// An age, to the second.
pub(crate) fn rounded(age: Duration) -> String {
    if age < Duration::from_secs(1) {
        return "under 1s".to_owned();
    }
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}

/// Orders that the JSON of a finding names.
pub(crate) const NAMED: usize = 10;

/// Writes the number of orders and the ids of the first [`NAMED`].
fn count_and_first<S: Serializer>(order_ids: &[OrderId], serializer: S) -> Result<S::Ok, S::Error> {
    let mut named = serializer.serialize_struct("Named", 2)?;
    named.serialize_field("count", &order_ids.len())?;
    named.serialize_field("first", &order_ids.iter().take(NAMED).map(|id| id.0).collect::<Vec<_>>())?;
    named.end()
}

/// Why something could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The queue did not answer.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Unanswered {
    /// Whether waiting may help although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Queue(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
        }
    }
}
