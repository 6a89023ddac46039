//! The metrics of the calls to the fulfiller.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labelled::Labelled;
use super::registering::{Count, metrics};
use crate::domain::label::Label;
use crate::event::{BreakerState, CallOutcome, FulfillerEvent, Limiter, RequestClass};
use crate::port::trends::CALL_BOUNDS;

metrics! {
    pub(super) struct FulfillerMetrics {
        /// Calls to the fulfiller, by outcome
        calls: Labelled<CallOutcome, Counter> = "fulfillment_calls", Labelled::new("outcome");
        /// Duration of one call to the fulfiller, including the wait for its limits
        call_duration: Histogram = "fulfillment_call_duration_seconds", Histogram::new(CALL_BOUNDS);
        /// HTTP requests to the fulfiller, by class of answer
        requests: Labelled<RequestClass, Counter> = "fulfillment_fulfiller_requests", Labelled::new("class");
        /// Duration of one HTTP request to the fulfiller, up to the end of the answer
        request_duration: Histogram = "fulfillment_fulfiller_request_duration_seconds", Histogram::new(CALL_BOUNDS);
        /// State of the circuit breaker in front of the fulfiller: 1 for the current state, 0 for the others
        breaker_state: Labelled<BreakerState, Count> = "fulfillment_fulfiller_breaker_state", closed_breaker();
        /// Times that the circuit breaker opened, or stayed open after a failed probe
        breaker_opened: Counter = "fulfillment_fulfiller_breaker_opened", Counter::default();
        /// Time that calls waited for a limit of the fulfiller; calls that did not wait are left out
        limiter_wait: Labelled<Limiter, Histogram> = "fulfillment_fulfiller_limiter_wait_seconds",
            Labelled::with("limiter", || Histogram::new(CALL_BOUNDS));
        /// Repeated calls that the retry budget delayed
        repeats_put_off: Counter = "fulfillment_fulfiller_repeats_put_off", Counter::default();
    }
}

fn closed_breaker() -> Labelled<BreakerState, Count> {
    let state = Labelled::new("state");
    show(&state, BreakerState::Closed);
    state
}

fn show(series: &Labelled<BreakerState, Count>, current: BreakerState) {
    for state in BreakerState::all() {
        series[state].set(u64::from(state == current));
    }
}

impl FulfillerMetrics {
    pub(super) fn observe(&self, event: &FulfillerEvent<'_>) {
        match *event {
            FulfillerEvent::CallEnded { outcome, took, .. } => {
                self.calls[outcome].inc();
                self.call_duration.observe(took.as_secs_f64());
            }
            FulfillerEvent::RequestEnded { class, took } => {
                self.requests[class].inc();
                self.request_duration.observe(took.as_secs_f64());
            }
            FulfillerEvent::BreakerMoved(to) => {
                show(&self.breaker_state, to);
                self.breaker_opened.inc_by(u64::from(to == BreakerState::Open));
            }
            FulfillerEvent::LimiterWaited { limiter, took } => self.limiter_wait[limiter].observe(took.as_secs_f64()),
            FulfillerEvent::RepeatPutOff { .. } => _ = self.repeats_put_off.inc(),
        }
    }
}
