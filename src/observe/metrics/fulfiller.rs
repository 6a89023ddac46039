//! The metrics of the calls to the fulfiller.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labelled::Labelled;
use super::registering::{Count, plain, seconds};
use crate::domain::label::Label;
use crate::event::{BreakerState, CallOutcome, FulfillerEvent, Limiter, RequestClass};

/// From a warehouse next door to the longest deadline that is usual.
const CALL_SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

pub(super) struct FulfillerMetrics {
    calls: Labelled<CallOutcome, Counter>,
    call_duration: Histogram,
    requests: Labelled<RequestClass, Counter>,
    request_duration: Histogram,
    breaker_state: Labelled<BreakerState, Count>,
    breaker_opened: Counter,
    limiter_wait: Labelled<Limiter, Histogram>,
    repeats_put_off: Counter,
}

impl FulfillerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let histogram = || Histogram::new(CALL_SECONDS);
        let help = "Calls to the fulfiller, by outcome";
        let calls = plain(registry, "fulfillment_calls", help, Labelled::new("outcome"));
        let help = "Duration of one call to the fulfiller, including the wait for its limits";
        let call_duration = seconds(registry, "fulfillment_call_duration", help, histogram());
        let help = "HTTP requests to the fulfiller, by class of answer";
        let requests = plain(registry, "fulfillment_fulfiller_requests", help, Labelled::new("class"));
        let help = "Duration of one HTTP request to the fulfiller, up to the end of the answer";
        let request_duration = seconds(registry, "fulfillment_fulfiller_request_duration", help, histogram());
        let help = "State of the circuit breaker in front of the fulfiller: 1 for the current state, 0 for the others";
        let breaker_state = plain(registry, "fulfillment_fulfiller_breaker_state", help, Labelled::new("state"));
        let help = "Times that the circuit breaker opened, or stayed open after a failed probe";
        let breaker_opened = plain(registry, "fulfillment_fulfiller_breaker_opened", help, Counter::default());
        let help = "Time that calls waited for a limit of the fulfiller; calls that did not wait are left out";
        let limiter_wait =
            seconds(registry, "fulfillment_fulfiller_limiter_wait", help, Labelled::with("limiter", histogram));
        let help = "Repeated calls that the retry budget delayed";
        let repeats_put_off = plain(registry, "fulfillment_fulfiller_repeats_put_off", help, Counter::default());
        let metrics = Self {
            calls,
            call_duration,
            requests,
            request_duration,
            breaker_state,
            breaker_opened,
            limiter_wait,
            repeats_put_off,
        };
        metrics.show(BreakerState::Closed);
        metrics
    }

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
                self.show(to);
                self.breaker_opened.inc_by(u64::from(to == BreakerState::Open));
            }
            FulfillerEvent::LimiterWaited { limiter, took } => self.limiter_wait[limiter].observe(took.as_secs_f64()),
            FulfillerEvent::RepeatPutOff { .. } => {
                self.repeats_put_off.inc();
            }
        }
    }

    fn show(&self, current: BreakerState) {
        for state in BreakerState::all() {
            self.breaker_state[state].set(u64::from(state == current));
        }
    }
}
