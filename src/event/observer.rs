//! Who is told what happens.

use std::fmt;
use std::sync::Arc;

use super::{Dependency, Event, UnderWay};

/// Is told every [`Event`], on the task that emits it: must return at once and never panic.
pub trait Observer: Send + Sync {
    /// Takes note.
    fn observe(&self, event: &Event<'_>);
}

/// Tells several observers, in order.
#[derive(Clone, Default)]
pub struct Observers(Vec<Arc<dyn Observer>>);

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observers").field(&self.0.len()).finish()
    }
}

impl Observers {
    /// Everyone who will be told.
    pub fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers)
    }

    /// Tells them that a call begins, and that it is over when what is returned is dropped.
    pub fn under_way(&self, to: Dependency) -> UnderWay<'_> {
        UnderWay::begin(self, to)
    }

    /// Tells them all.
    pub fn emit(&self, event: Event<'_>) {
        for observer in &self.0 {
            observer.observe(&event);
        }
    }
}
