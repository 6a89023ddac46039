//! What jemalloc holds: the counterpart of Go's `go_memstats_*`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tikv_jemalloc_ctl::{epoch, stats};

use super::endpoint::Errors;
use super::sample;

/// Reads jemalloc's statistics. All are near zero in a program that uses another allocator. What can't be read is left out,
/// and counted as an error.
#[derive(Debug)]
pub(super) struct AllocatorCollector(pub(super) Errors);

/// Asks jemalloc for one statistic.
type Read = fn() -> tikv_jemalloc_ctl::Result<usize>;

/// Each with its name and help.
const STATISTICS: [(&str, &str, Read); 6] = [
    ("jemalloc_allocated_bytes", "Memory that the program has allocated and not freed", stats::allocated::read),
    ("jemalloc_active_bytes", "Memory in pages that hold at least one allocation", stats::active::read),
    ("jemalloc_metadata_bytes", "Memory that the allocator needs for itself", stats::metadata::read),
    ("jemalloc_resident_bytes", "Physical memory that the allocator holds, as an upper bound", stats::resident::read),
    ("jemalloc_mapped_bytes", "Address space in extents that the allocator uses", stats::mapped::read),
    (
        "jemalloc_retained_bytes",
        "Address space that the allocator keeps for later without memory behind it",
        stats::retained::read,
    ),
];

impl Collector for AllocatorCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // The statistics are cached until the epoch advances; where it can't, the old ones are still better than none.
        self.0.readable(epoch::advance());
        for (name, help, read) in STATISTICS {
            if let Some(value) = self.0.readable(read()) {
                sample::gauge(&mut encoder, name, help, value as u64)?;
            }
        }
        Ok(())
    }
}
