//! The state of the tokio runtime: the counterpart of Go's goroutine and scheduler metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::runtime::Handle;

use super::sample;

/// Reads the runtime's counters, which are atomics.
#[derive(Debug)]
pub(super) struct RuntimeCollector(pub(super) Handle);

impl Collector for RuntimeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let runtime = self.0.metrics();
        let workers = runtime.num_workers();
        sample::gauge(&mut encoder, "tokio_workers", "Threads that run the worker's tasks", workers as u64)?;
        let help = "Tasks that were spawned and have not ended";
        sample::gauge(&mut encoder, "tokio_alive_tasks", help, runtime.num_alive_tasks() as u64)?;
        let help = "Tasks that are ready to run and wait in the queue shared by all worker threads";
        sample::gauge(&mut encoder, "tokio_global_queue_depth", help, runtime.global_queue_depth() as u64)?;
        #[cfg(target_has_atomic = "64")]
        {
            let busy: f64 = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
            let parks: u64 = (0..workers).map(|worker| runtime.worker_park_count(worker)).sum();
            let help = "Time that the worker threads spent running tasks, summed over the threads";
            sample::counter(&mut encoder, "tokio_workers_busy_seconds", help, busy)?;
            let help = "Times that a worker thread found nothing to do and went to sleep";
            sample::counter(&mut encoder, "tokio_workers_parks", help, parks)?;
        }
        Ok(())
    }
}
