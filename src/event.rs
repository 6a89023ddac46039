//! What happens in the worker, for metrics, health, logs, traces and tests: the one seam between the code that works
//! and the code that watches.
//!
//! The engine, the service's start and its polls, the fulfiller over HTTP, the export of traces and the backends'
//! connections emit events. Observers match them without `_`: the compiler then names each one that has to decide
//! about a new event.

mod api;
pub(crate) mod call_times;
mod controls;
mod dependency;
mod fulfiller;
mod jobs;
mod lifecycle;
mod observer;
mod order;
mod reconciler;
mod retention;
mod telemetry;
mod trends;

pub use api::ApiEvent;
pub use controls::ControlsEvent;
pub use dependency::{Backend, CallId, Dependency, DependencyEvent, RowStage, Stage, UnderWay};
pub use fulfiller::{BreakerState, CallOutcome, FulfillerEvent, Limiter, RequestClass};
pub use jobs::JobsEvent;
pub use lifecycle::{LifecycleEvent, Loop, Reloaded};
pub use observer::{Observer, Observers};
pub use order::{AttemptRef, CancelledFrom, Lease, OrderEvent, RetryReason, Throttle};
pub use reconciler::{Drift, ReconcilerEvent};
pub use retention::RetentionEvent;
pub use telemetry::{Runtime, TelemetryEvent};
pub use trends::TrendsEvent;

impl From<RetentionEvent> for Event<'_> {
    fn from(event: RetentionEvent) -> Self {
        Self::Retention(event)
    }
}

/// Something that happened, by the part of the worker that it happened in.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The worker itself starts, makes progress or ends.
    Lifecycle(LifecycleEvent<'a>),
    /// A call to queue, store or fulfiller, or a connection to one.
    Dependency(DependencyEvent<'a>),
    /// An order on its way from claim to settlement.
    Order(OrderEvent<'a>),
    /// What the fulfiller was asked and what it answered.
    Fulfiller(FulfillerEvent<'a>),
    /// What operators set for this worker.
    Controls(ControlsEvent<'a>),
    /// The search for orders without a message.
    Reconciler(ReconcilerEvent<'a>),
    /// The deletion of old timelines.
    Retention(RetentionEvent),
    /// The bulk work of operators.
    Jobs(JobsEvent<'a>),
    /// Requests of the API.
    Api(ApiEvent<'a>),
    /// The history that this worker keeps in the store.
    Trends(TrendsEvent<'a>),
    /// A reading was taken, or traces were exported.
    Telemetry(TelemetryEvent<'a>),
}

macro_rules! group {
    ($($group:ident($event:ident)),*) => { $(
        impl<'a> From<$event<'a>> for Event<'a> {
            fn from(event: $event<'a>) -> Self {
                Self::$group(event)
            }
        }
    )* };
}

group!(
    Lifecycle(LifecycleEvent),
    Dependency(DependencyEvent),
    Order(OrderEvent),
    Fulfiller(FulfillerEvent),
    Controls(ControlsEvent),
    Reconciler(ReconcilerEvent),
    Jobs(JobsEvent),
    Api(ApiEvent),
    Trends(TrendsEvent),
    Telemetry(TelemetryEvent)
);
