//! An observer that keeps what happened.

use std::time::Duration;

use fulfillment_worker::event::{Event, Observer};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What is kept; later events are counted.
const MOST: usize = 100_000;

/// Keeps the first 100,000 events, as `Debug` writes them: an event itself lives no longer than its call.
///
/// ```
/// use fulfillment_worker::event::{Event, LifecycleEvent, Observer};
/// use fulfillment_worker_testkit::doubles::Recorder;
///
/// let recorder = Recorder::default();
/// recorder.observe(&Event::Lifecycle(LifecycleEvent::Draining { in_flight: 3 }));
/// assert_eq!(recorder.events(), ["Lifecycle(Draining { in_flight: 3 })"]);
/// ```
#[derive(Debug, Default)]
pub struct Recorder {
    events: Mutex<(Vec<String>, u64)>,
    changed: Notify,
}

impl Recorder {
    /// What happened so far, in the order in which it came.
    pub fn events(&self) -> Vec<String> {
        self.events.lock().0.clone()
    }

    /// How many events came after those that are kept.
    pub fn left_out(&self) -> u64 {
        self.events.lock().1
    }

    /// Waits for an event whose text contains `part`, or takes one that came before. `None` if there is none by the end of
    /// `patience`.
    pub async fn event(&self, part: &str, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let found = self.events.lock().0.iter().find(|event| event.contains(part)).cloned();
            if found.is_some() {
                return found;
            }
            tokio::time::timeout_at(deadline, changed).await.ok()?;
        }
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        let text = format!("{event:?}");
        let mut events = self.events.lock();
        if events.0.len() < MOST {
            events.0.push(text);
        } else {
            events.1 += 1;
        }
        drop(events);
        self.changed.notify_waiters();
    }
}
