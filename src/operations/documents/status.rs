//! Queue and orders at a glance, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::label::Label;
use crate::operations::controls::SetControlJson;
use crate::port::controls::SetControl;
use crate::port::queue::Depth;
use crate::port::reports::{OpenDeadLetters, Summary};

/// Queue and orders at a glance. What doesn't answer says nothing: what it would say is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusDocument {
    /// How full the queue is.
    pub queue: Option<DepthDocument>,
    #[serde(flatten)]
    pub(crate) store: StoreStatus,
    /// Where they are.
    pub place: Place,
    /// Why something says nothing; null where everything answers.
    pub problem: Option<String>,
}

/// Numbers of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DepthDocument {
    /// To be claimed.
    pub waiting: u64,
    /// In the hands of workers.
    pub in_flight: u64,
    /// To be claimed again, before those that wait.
    pub due: u64,
    /// Waiting for the time of their next attempt.
    pub retrying: u64,
}

impl From<Depth> for DepthDocument {
    fn from(Depth { waiting, in_flight, due, retrying }: Depth) -> Self {
        Self { waiting, in_flight, due, retrying }
    }
}

/// What the store says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StoreStatus {
    /// Orders by state.
    pub(crate) orders: Option<BTreeMap<String, u64>>,
    /// Those that are `pending` or `processing`.
    pub(crate) open_orders: Option<u64>,
    /// Those that are held.
    pub(crate) held: Option<u64>,
    /// Dead letters without a decision.
    pub(crate) dead_letters: Option<u64>,
    /// The same by reason, where there are any.
    pub(crate) dead_letters_by_reason: Option<BTreeMap<String, u64>>,
    /// Null also without such an order, or where its age is unknown.
    pub(crate) oldest_pending_seconds: Option<f64>,
    /// Since it was created; null as above.
    pub(crate) oldest_processing_seconds: Option<f64>,
    /// Jobs of operators that have not ended.
    pub(crate) jobs: Option<u64>,
    /// What operators have set for workers.
    pub(crate) controls: Option<Vec<SetControlJson>>,
}

impl StoreStatus {
    pub(crate) fn new(summary: &Summary, letters: &OpenDeadLetters, set: &[SetControl], jobs: u64) -> Self {
        let open = |(state, _): &&(String, u64)| matches!(state.as_str(), "pending" | "processing");
        let by_reason = letters.by_reason.into_iter().filter(|(_, letters)| *letters > 0);
        Self {
            orders: Some(summary.orders_by_state.iter().cloned().collect()),
            open_orders: Some(summary.orders_by_state.iter().filter(open).map(|(_, orders)| orders).sum()),
            held: Some(summary.held),
            dead_letters: Some(letters.all()),
            dead_letters_by_reason: Some(
                by_reason.map(|(reason, letters)| (reason.as_str().to_owned(), letters)).collect(),
            ),
            oldest_pending_seconds: summary.oldest_pending.map(|age| age.as_secs_f64()),
            oldest_processing_seconds: summary.oldest_processing.map(|age| age.as_secs_f64()),
            jobs: Some(jobs),
            controls: Some(set.iter().map(SetControlJson::from).collect()),
        }
    }
}

/// Where rows and messages are, without passwords.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// URL of the store.
    pub store: String,
    /// URL of the queue.
    pub queue: String,
    /// Key of the list; null for an embedded queue, which has none.
    pub queue_key: Option<String>,
}
