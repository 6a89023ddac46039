//! The nine standard `process_*` metrics, with the names and meanings that every Prometheus client library gives them.

use std::fmt;
use std::path::PathBuf;

use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::allocator::Statistics;
use super::endpoint::Errors;
use super::sample;

/// Reads `/proc/self`. A file that can't be read costs its own metrics only.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    folder: PathBuf,
    errors: Errors,
}

impl ProcessCollector {
    /// What can't be read is left out, and counted as one of `errors`.
    pub(super) fn new(errors: Errors) -> Self {
        Self { folder: "/proc/self".into(), errors }
    }

    fn encode_stat(&self, process: &Process, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(stat) = self.errors.readable(process.stat()) else { return Ok(()) };
        let ticks_per_second = procfs::ticks_per_second() as f64;
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second;
        let (cpu, resident) = (stat.utime.saturating_add(stat.stime), stat.rss.saturating_mul(procfs::page_size()));
        sample::counter(encoder, "process_cpu_seconds", "User and system CPU time spent", seconds(cpu))?;
        sample::gauge(encoder, "process_virtual_memory_bytes", "Virtual memory size", stat.vsize)?;
        sample::gauge(encoder, "process_resident_memory_bytes", "Resident memory size", resident)?;
        sample::gauge(encoder, "process_threads", "Operating system threads", stat.num_threads)?;
        if let Some(boot) = self.errors.readable(procfs::boot_time_secs()) {
            let started = boot as f64 + seconds(stat.starttime);
            sample::gauge(encoder, "process_start_time_seconds", "Start time of the process, since 1970", started)?;
        }
        Ok(())
    }

    fn encode_limits(&self, process: &Process, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(limits) = self.errors.readable(process.limits()) else { return Ok(()) };
        let (files, memory) = (limits.max_open_files.soft_limit, limits.max_address_space.soft_limit);
        sample::gauge(encoder, "process_max_fds", "Maximum of open file descriptors", number(files))?;
        let help = "Maximum of virtual memory; 18446744073709551615 if there is no limit";
        sample::gauge(encoder, "process_virtual_memory_max_bytes", help, number(memory))
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(process) = self.errors.readable(Process::new_with_root(self.folder.clone())) {
            self.encode_stat(&process, &mut encoder)?;
            self.encode_limits(&process, &mut encoder)?;
            if let Some(open) = self.errors.readable(process.fd_count()) {
                sample::gauge(&mut encoder, "process_open_fds", "Open file descriptors", open as u64)?;
            }
        }
        if let Some(heap) = self.errors.readable(Statistics::read()) {
            let help = "Heap size: memory that the allocator holds, free pages included";
            sample::gauge(&mut encoder, "process_heap_bytes", help, heap.committed())?;
        }
        Ok(())
    }
}

/// A limit as Go's client shows it.
fn number(limit: LimitValue) -> u64 {
    match limit {
        LimitValue::Unlimited => u64::MAX,
        LimitValue::Value(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::observe::metrics::endpoint::{Endpoint, Source};

    /// Caught, when seeded: a file that can't be read is passed over in silence.
    #[test]
    fn each_file_that_cannot_be_read_is_counted_and_costs_its_own_metrics() {
        let folder = tempfile::tempdir().unwrap();
        // procfs takes the number for the process's.
        let folder = folder.path().join("1");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy("/proc/self/limits", folder.join("limits")).unwrap();
        let mut registry = Registry::default();
        let endpoint = Endpoint::register(&mut registry);
        let errors = endpoint.errors_of(Source::Process);
        let collector = ProcessCollector { folder, errors };
        let mut of_process = Registry::default();
        of_process.register_collector(Box::new(collector));
        let mut text = String::new();
        text::encode_registry(&mut text, &of_process).unwrap();
        text::encode_registry(&mut text, &registry).unwrap();
        assert!(text.contains("\nprocess_max_fds ") && text.contains("\nprocess_heap_bytes "), "{text}");
        assert!(!text.contains("process_cpu") && !text.contains("process_open_fds"), "{text}");
        // Neither `stat` nor `fd`.
        assert!(text.contains("errors_total{collector=\"process\"} 2\n"), "{text}");
    }
}
