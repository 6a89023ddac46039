//! The nine standard `process_*` metrics, with the names and meanings that every Prometheus client library gives them.

use std::fmt;

use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::sample::{self, Description};

const CPU: Description =
    Description { name: "process_cpu", help: "User and system CPU time spent", unit: Some(Unit::Seconds) };
const OPEN_FDS: Description = Description { name: "process_open_fds", help: "Open file descriptors", unit: None };
const MAX_FDS: Description = Description { name: "process_max_fds", help: "Open file descriptors at most", unit: None };
const VIRTUAL_MEMORY: Description =
    Description { name: "process_virtual_memory", help: "Virtual memory size", unit: Some(Unit::Bytes) };
const VIRTUAL_MEMORY_MAX: Description = Description {
    name: "process_virtual_memory_max",
    help: "Virtual memory at most; 18446744073709551615 where there is no limit",
    unit: Some(Unit::Bytes),
};
const RESIDENT_MEMORY: Description =
    Description { name: "process_resident_memory", help: "Resident memory size", unit: Some(Unit::Bytes) };
const HEAP: Description = Description {
    name: "process_heap",
    help: "Heap size: address space in extents that the allocator uses",
    unit: Some(Unit::Bytes),
};
const START_TIME: Description =
    Description { name: "process_start_time", help: "When the process started, since 1970", unit: Some(Unit::Seconds) };
const THREADS: Description = Description { name: "process_threads", help: "Operating system threads", unit: None };

/// Reads `/proc/self`. A file that can't be read costs its own metrics only.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Ok(process) = Process::myself() {
            encode_stat(&process, &mut encoder)?;
            encode_limits(&process, &mut encoder)?;
            if let Ok(open) = process.fd_count() {
                sample::gauge(&mut encoder, &OPEN_FDS, open as u64)?;
            }
        }
        if let Ok(heap) = tikv_jemalloc_ctl::stats::mapped::read() {
            sample::gauge(&mut encoder, &HEAP, heap as u64)?;
        }
        Ok(())
    }
}

fn encode_stat(process: &Process, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Ok(stat) = process.stat() else { return Ok(()) };
    let ticks_per_second = procfs::ticks_per_second() as f64;
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second;
    sample::counter(encoder, &CPU, seconds(stat.utime.saturating_add(stat.stime)))?;
    sample::gauge(encoder, &VIRTUAL_MEMORY, stat.vsize)?;
    sample::gauge(encoder, &RESIDENT_MEMORY, stat.rss.saturating_mul(procfs::page_size()))?;
    sample::gauge(encoder, &THREADS, stat.num_threads)?;
    if let Ok(boot) = procfs::boot_time_secs() {
        sample::gauge(encoder, &START_TIME, boot as f64 + seconds(stat.starttime))?;
    }
    Ok(())
}

fn encode_limits(process: &Process, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Ok(limits) = process.limits() else { return Ok(()) };
    sample::gauge(encoder, &MAX_FDS, number(limits.max_open_files.soft_limit))?;
    sample::gauge(encoder, &VIRTUAL_MEMORY_MAX, number(limits.max_address_space.soft_limit))
}

/// A limit as Go's client shows it.
fn number(limit: LimitValue) -> u64 {
    match limit {
        LimitValue::Unlimited => u64::MAX,
        LimitValue::Value(value) => value,
    }
}
