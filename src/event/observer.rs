//! The receivers of events.

use std::fmt;
use std::sync::Arc;

use super::Event;

/// Receives every [`Event`] on the task that emits it. Must return at once and never panic.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use fulfillment_worker::event::{Event, Observer, OrderEvent};
///
/// /// Counts what happens to orders.
/// #[derive(Default)]
/// struct Counter(AtomicU64);
///
/// impl Observer for Counter {
///     fn observe(&self, event: &Event<'_>) {
///         if let Event::Order(_) = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync {
    /// Takes note of one event.
    fn observe(&self, event: &Event<'_>);
}

/// Several observers, each of which receives every event, in this order.
#[derive(Clone, Default)]
pub struct Observers(Vec<Arc<dyn Observer>>);

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observers").field(&self.0.len()).finish()
    }
}

impl Observers {
    /// Hands events to all of these.
    pub fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers)
    }

    /// Hands the event to every observer.
    pub fn emit<'a>(&self, event: impl Into<Event<'a>>) {
        let event = event.into();
        for observer in &self.0 {
            observer.observe(&event);
        }
    }
}
