//! What a job is about, as it is stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::UnknownTask;
use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::domain::order::{OrderId, State};
use crate::port::dead_letters::{DeadLetterFilter, DeadLetterSelection};
use crate::port::search::OrderFilter;

/// A selection as it is stored. A field that is not known makes it unreadable: to leave it out would select more.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Selection {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    states: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    older_than_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    newer_than_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hold_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hold_until_micros: Option<i64>,
}

impl Selection {
    pub(super) fn letters(&mut self, selection: &DeadLetterSelection) {
        let DeadLetterSelection { filter, fingerprint } = selection;
        self.reasons = filter.reasons.iter().map(|reason| reason.as_str().to_owned()).collect();
        self.reasons.sort_unstable();
        self.ages(filter.older_than, filter.newer_than);
        self.product_id = filter.product_id;
        self.order_id = filter.order_id.map(|order_id| order_id.0);
        self.fingerprint.clone_from(fingerprint);
    }

    pub(super) fn orders(&mut self, filter: &OrderFilter) {
        self.states = filter.states.iter().map(|state| state.as_str().to_owned()).collect();
        self.states.sort_unstable();
        self.ages(filter.older_than, filter.newer_than);
        self.product_id = filter.product_id;
        self.correlation_id.clone_from(&filter.correlation_id);
    }

    fn ages(&mut self, older_than: Option<Duration>, newer_than: Option<Duration>) {
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs_f64());
        (self.older_than_seconds, self.newer_than_seconds) = (seconds(older_than), seconds(newer_than));
    }

    /// Always of letters without a decision.
    pub(super) fn letter_selection(&self) -> Result<DeadLetterSelection, UnknownTask> {
        let known = |text: &String| {
            DeadReason::from_label(text).ok_or_else(|| UnknownTask(format!("no reason of a dead letter: {text}")))
        };
        let filter = DeadLetterFilter {
            reasons: self.reasons.iter().map(known).collect::<Result<_, _>>()?,
            older_than: self.older_than_seconds.map(duration),
            newer_than: self.newer_than_seconds.map(duration),
            product_id: self.product_id,
            order_id: self.order_id.map(OrderId),
            resolved: Some(false),
            ..DeadLetterFilter::default()
        };
        Ok(DeadLetterSelection { filter, fingerprint: self.fingerprint.clone() })
    }

    pub(super) fn order_filter(&self) -> OrderFilter {
        OrderFilter {
            states: self.states.iter().map(|state| State::from(state.as_str())).collect(),
            product_id: self.product_id,
            correlation_id: self.correlation_id.clone(),
            older_than: self.older_than_seconds.map(duration),
            newer_than: self.newer_than_seconds.map(duration),
        }
    }
}

pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
