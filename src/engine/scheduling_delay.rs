//! Tells how promptly tasks run: one on each runtime does nothing but sleep, and notes how much too late it wakes. What
//! holds it up, threads that are blocked or a host without CPU time to spare, holds up everything else there.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::event::{Observers, Runtime, TelemetryEvent};

/// How long it sleeps: often enough to meet what takes a tenth of a second, too seldom to be seen among the CPU time.
const EVERY: Duration = Duration::from_millis(100);

/// Puts one on the runtime behind `handle`, until what is returned is dropped.
pub(crate) fn watch(runtime: Runtime, handle: &Handle, observers: &Observers) -> AbortOnDropHandle<()> {
    let observers = observers.clone();
    AbortOnDropHandle::new(handle.spawn(async move {
        loop {
            let due = Instant::now() + EVERY;
            sleep_until(due).await;
            observers.emit(TelemetryEvent::SchedulingDelay { runtime, late: due.elapsed() });
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use tokio::runtime::Builder;

    use super::*;
    use crate::event::{Event, Observer};

    struct Diary(mpsc::Sender<Duration>);

    impl Observer for Diary {
        fn observe(&self, event: &Event<'_>) {
            if let Event::Telemetry(TelemetryEvent::SchedulingDelay { runtime: Runtime::Calls, late }) = *event {
                let _ = self.0.send(late);
            }
        }
    }

    /// Caught, when seeded: a canary that measures how long it slept from when it woke.
    #[test]
    fn a_runtime_whose_threads_are_all_blocked_is_late_by_that_time() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (told, delays) = mpsc::channel();
        let canary = watch(Runtime::Calls, runtime.handle(), &Observers::new(vec![Arc::new(Diary(told))]));
        delays.recv().unwrap();
        let block = EVERY * 3;
        runtime.block_on(runtime.spawn(async move { std::thread::sleep(block) })).unwrap();
        let late = delays.recv().unwrap();
        assert!(late >= block - EVERY, "{late:?} late after {block:?} in which nothing could run");
        drop(canary);
        // Ends with its last sender, which the task holds.
        delays.iter().for_each(drop);
    }
}
