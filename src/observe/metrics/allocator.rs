//! What jemalloc holds: the counterpart of Go's `go_memstats_*`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use tikv_jemalloc_ctl::{epoch, stats};

use super::endpoint::Errors;
use super::sample::{self, Description};

/// Reads jemalloc's statistics. All are near zero in a program that uses another allocator.
#[derive(Debug)]
pub(super) struct AllocatorCollector {
    errors: Errors,
}

impl AllocatorCollector {
    /// What can't be read is left out, and counted as one of `errors`.
    pub(super) fn new(errors: Errors) -> Self {
        Self { errors }
    }
}

/// Asks jemalloc for one statistic.
type Read = fn() -> tikv_jemalloc_ctl::Result<usize>;

const STATISTICS: [(Description, Read); 6] = [
    (bytes("jemalloc_allocated", "Memory that the program has allocated and not freed"), stats::allocated::read),
    (bytes("jemalloc_active", "Memory in pages that hold at least one allocation"), stats::active::read),
    (bytes("jemalloc_metadata", "Memory that the allocator needs for itself"), stats::metadata::read),
    (bytes("jemalloc_resident", "Physical memory that the allocator holds, as an upper bound"), stats::resident::read),
    (bytes("jemalloc_mapped", "Address space in extents that the allocator uses"), stats::mapped::read),
    (
        bytes("jemalloc_retained", "Address space that the allocator keeps for later without memory behind it"),
        stats::retained::read,
    ),
];

const fn bytes(name: &'static str, help: &'static str) -> Description {
    Description { name, help, unit: Some(Unit::Bytes) }
}

impl Collector for AllocatorCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // The statistics are cached until the epoch advances; where it can't, the old ones are still better than none.
        self.errors.readable(epoch::advance());
        for (description, read) in &STATISTICS {
            if let Some(value) = self.errors.readable(read()) {
                sample::gauge(&mut encoder, description, value as u64)?;
            }
        }
        Ok(())
    }
}
