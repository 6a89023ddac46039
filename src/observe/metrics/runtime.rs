//! The state of the tokio runtime: the counterpart of Go's goroutine and scheduler metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use tokio::runtime::Handle;

use super::sample::{self, Description};

const WORKERS: Description =
    Description { name: "tokio_workers", help: "Threads that run the worker's tasks", unit: None };
const ALIVE_TASKS: Description =
    Description { name: "tokio_alive_tasks", help: "Tasks that were spawned and have not ended", unit: None };
const GLOBAL_QUEUE_DEPTH: Description = Description {
    name: "tokio_global_queue_depth",
    help: "Tasks that are ready to run and wait in the queue shared by all worker threads",
    unit: None,
};
const BUSY: Description = Description {
    name: "tokio_workers_busy",
    help: "Time that the worker threads spent running tasks, summed over the threads",
    unit: Some(Unit::Seconds),
};
const PARKS: Description = Description {
    name: "tokio_workers_parks",
    help: "Times that a worker thread found nothing to do and went to sleep",
    unit: None,
};

/// Reads the runtime's counters, which are atomics.
#[derive(Debug)]
pub(super) struct RuntimeCollector {
    handle: Handle,
}

impl RuntimeCollector {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl Collector for RuntimeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let runtime = self.handle.metrics();
        let workers = runtime.num_workers();
        sample::gauge(&mut encoder, &WORKERS, workers as u64)?;
        sample::gauge(&mut encoder, &ALIVE_TASKS, runtime.num_alive_tasks() as u64)?;
        sample::gauge(&mut encoder, &GLOBAL_QUEUE_DEPTH, runtime.global_queue_depth() as u64)?;
        #[cfg(target_has_atomic = "64")]
        {
            let busy: f64 = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
            let parks: u64 = (0..workers).map(|worker| runtime.worker_park_count(worker)).sum();
            sample::counter(&mut encoder, &BUSY, busy)?;
            sample::counter(&mut encoder, &PARKS, parks)?;
        }
        Ok(())
    }
}
