//! The nine standard `process_*` metrics, with the names and meanings that every Prometheus client library gives them.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

#[cfg(target_env = "gnu")]
use super::allocator::Statistics;
use super::endpoint::Errors;
use super::sample;

/// Reads `/proc/self`. A file that can't be read costs its own metrics only.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    folder: PathBuf,
    errors: Errors,
}

/// Of `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Ticks in user and system mode.
    cpu: u64,
    threads: u64,
    /// Ticks since the system's start.
    started: u64,
    /// Bytes of address space.
    virtual_memory: u64,
    /// Pages of physical memory.
    resident: u64,
}

impl Stat {
    fn parse(text: &str) -> io::Result<Self> {
        // The second field is the program's name in parentheses, which may hold anything.
        let (_, after_name) = text.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // Numbered as in the manual, where the one after the name is the third.
        let field = |number: usize| {
            let field = fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
            field.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
        };
        Ok(Self {
            cpu: field(14)?.saturating_add(field(15)?),
            threads: field(20)?,
            started: field(22)?,
            virtual_memory: field(23)?,
            resident: field(24)?,
        })
    }
}

/// When the system started, in seconds since 1970, from `/proc/stat`.
fn boot_time() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    seconds.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl ProcessCollector {
    /// What can't be read is left out, and counted as one of `errors`.
    pub(super) fn new(errors: Errors) -> Self {
        Self { folder: "/proc/self".into(), errors }
    }

    fn stat(&self) -> io::Result<Stat> {
        Stat::parse(&fs::read_to_string(self.folder.join("stat"))?)
    }

    fn encode_stat(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(stat) = self.errors.readable(self.stat()) else { return Ok(()) };
        let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
        let resident = stat.resident.saturating_mul(page_size() as u64);
        sample::counter(encoder, "process_cpu_seconds", "User and system CPU time spent", seconds(stat.cpu))?;
        sample::gauge(encoder, "process_virtual_memory_bytes", "Virtual memory size", stat.virtual_memory)?;
        sample::gauge(encoder, "process_resident_memory_bytes", "Resident memory size", resident)?;
        sample::gauge(encoder, "process_threads", "Operating system threads", stat.threads)?;
        if let Some(boot) = self.errors.readable(boot_time()) {
            let started = boot as f64 + seconds(stat.started);
            sample::gauge(encoder, "process_start_time_seconds", "Start time of the process, since 1970", started)?;
        }
        Ok(())
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_stat(&mut encoder)?;
        sample::gauge(&mut encoder, "process_max_fds", "Maximum of open file descriptors", limit(Resource::Nofile))?;
        let help = "Maximum of virtual memory; 18446744073709551615 if there is no limit";
        sample::gauge(&mut encoder, "process_virtual_memory_max_bytes", help, limit(Resource::As))?;
        if let Some(open) = self.errors.readable(fs::read_dir(self.folder.join("fd"))) {
            sample::gauge(&mut encoder, "process_open_fds", "Open file descriptors", open.count() as u64)?;
        }
        #[cfg(target_env = "gnu")]
        if let Some(heap) = self.errors.readable(Statistics::read()) {
            let help = "Heap size: memory that the allocator holds, free blocks included";
            sample::gauge(&mut encoder, "process_heap_bytes", help, heap.held())?;
        }
        Ok(())
    }
}

/// The soft limit, as Go's client shows it.
fn limit(resource: Resource) -> u64 {
    getrlimit(resource).current.unwrap_or(u64::MAX)
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
        let mut registry = Registry::default();
        let endpoint = Endpoint::register(&mut registry);
        let errors = endpoint.errors_of(Source::Process);
        let collector = ProcessCollector { folder: folder.path().to_owned(), errors };
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

    #[test]
    fn the_name_of_the_program_may_hold_anything() {
        let stat =
            "7 (a) R (b 1 2) S 1 7 7 0 -1 4194560 9 0 0 0 30 12 0 0 20 0 5 0 400 1000000 250 18446744073709551615\n";
        let parsed = Stat::parse(stat).unwrap();
        assert_eq!(parsed, Stat { cpu: 42, threads: 5, started: 400, virtual_memory: 1_000_000, resident: 250 });
        for broken in ["", "7 (x", "7 (x) S 1 7", &stat.replace("30 12", "30 twelve")] {
            assert!(Stat::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn what_is_read_is_this_process() {
        let collector = ProcessCollector::new(Endpoint::register(&mut Registry::default()).errors_of(Source::Process));
        let stat = collector.stat().unwrap();
        let resident = stat.resident * page_size() as u64;
        assert!((1 << 20..stat.virtual_memory).contains(&resident), "{stat:?}");
        assert!(stat.threads >= 1 && stat.started > 0 && boot_time().unwrap() > 1_500_000_000, "{stat:?}");
    }
}
