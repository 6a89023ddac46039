//! The metrics of the calls to the fulfiller.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::instruments::{Count, plain, seconds};
use super::labelled::Labelled;
use crate::event::{BreakerState, CallOutcome, Limiter, RequestClass};

/// From a warehouse next door to the longest deadline that is usual.
const CALL_SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Handles on what a call moves.
pub(super) struct Calls {
    ended: Labelled<CallOutcome, Counter>,
    duration: Histogram,
    requests: Labelled<RequestClass, Counter>,
    request_duration: Histogram,
    breaker_state: Labelled<BreakerState, Count>,
    breaker_opened: Counter,
    limiter_wait: Labelled<Limiter, Histogram>,
    pub(super) repeats_put_off: Counter,
}

impl Calls {
    /// Makes them all, each at its start value.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let wait = || Histogram::new(CALL_SECONDS);
        let calls = Self {
            ended: Labelled::new("outcome", &CallOutcome::ALL, CallOutcome::as_str, Counter::default),
            duration: Histogram::new(CALL_SECONDS),
            requests: Labelled::new("class", &RequestClass::ALL, RequestClass::as_str, Counter::default),
            request_duration: Histogram::new(CALL_SECONDS),
            breaker_state: Labelled::new("state", &BreakerState::ALL, BreakerState::as_str, Count::default),
            breaker_opened: Counter::default(),
            limiter_wait: Labelled::new("limiter", &Limiter::ALL, Limiter::as_str, wait),
            repeats_put_off: Counter::default(),
        };
        calls.show(BreakerState::Closed);
        let help = "Calls to the fulfiller, by how they ended";
        plain(registry, "fulfillment_calls", help, &calls.ended);
        let help = "Time of one call to the fulfiller, waiting for its limits included";
        seconds(registry, "fulfillment_call_duration", help, &calls.duration);
        let help = "HTTP requests to the fulfiller, by how they were answered";
        plain(registry, "fulfillment_fulfiller_requests", help, &calls.requests);
        let help = "Time of one HTTP request to the fulfiller, to the end of the answer";
        seconds(registry, "fulfillment_fulfiller_request_duration", help, &calls.request_duration);
        let help = "What the circuit breaker in front of the fulfiller does: 1 for the state it is in";
        plain(registry, "fulfillment_fulfiller_breaker_state", help, &calls.breaker_state);
        let help = "Times that the circuit breaker opened or stayed open after a probe";
        plain(registry, "fulfillment_fulfiller_breaker_opened", help, &calls.breaker_opened);
        let help = "Time that calls waited for a limit of the fulfiller; calls that had not to wait are left out";
        seconds(registry, "fulfillment_fulfiller_limiter_wait", help, &calls.limiter_wait);
        let help = "Repeated calls that the retry budget put off";
        plain(registry, "fulfillment_fulfiller_repeats_put_off", help, &calls.repeats_put_off);
        calls
    }

    pub(super) fn ended(&self, outcome: CallOutcome, took: Duration) {
        self.ended.with(outcome, |count| count.inc());
        self.duration.observe(took.as_secs_f64());
    }

    pub(super) fn request_ended(&self, class: RequestClass, took: Duration) {
        self.requests.with(class, |count| count.inc());
        self.request_duration.observe(took.as_secs_f64());
    }

    pub(super) fn breaker_moved(&self, to: BreakerState) {
        self.show(to);
        self.breaker_opened.inc_by(u64::from(to == BreakerState::Open));
    }

    pub(super) fn waited(&self, limiter: Limiter, took: Duration) {
        self.limiter_wait.with(limiter, |histogram| histogram.observe(took.as_secs_f64()));
    }

    fn show(&self, current: BreakerState) {
        for state in BreakerState::ALL {
            self.breaker_state.with(state, |gauge| gauge.set(u64::from(state == current)));
        }
    }
}
