//! Transitions as they happen, as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::EntryDocument;
use crate::port::search::Transition;

/// A transition of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransitionDocument {
    /// Key of the row.
    pub order_id: i64,
    /// What happened.
    #[serde(flatten)]
    pub entry: EntryDocument,
}

impl From<&Transition> for TransitionDocument {
    fn from(transition: &Transition) -> Self {
        Self { order_id: transition.order_id.0, entry: (&transition.entry).into() }
    }
}

/// Transitions in the order in which they became visible.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventsDocument {
    /// None of them is left out.
    pub events: Vec<TransitionDocument>,
    /// Leads to those that come after them.
    pub next_cursor: String,
}
