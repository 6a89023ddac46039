//! What mimalloc holds: the counterpart of Go's `go_memstats_*`.

use std::fmt;

use mimalloc::MiMalloc;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use serde::Deserialize;

use super::endpoint::Errors;
use super::sample;

/// Reads mimalloc's statistics. All are near zero in a program that uses another allocator. What can't be read is left out,
/// and counted as an error.
#[derive(Debug)]
pub(super) struct AllocatorCollector(pub(super) Errors);

/// Those of its statistics that it keeps without being built for measuring.
#[derive(Debug, Deserialize)]
pub(super) struct Statistics {
    committed: Current,
    reserved: Current,
    page_bins: Vec<Bin>,
}

#[derive(Debug, Deserialize)]
struct Current {
    /// While threads free what others have allocated, a difference can be negative for a moment.
    current: i64,
}

/// Pages whose blocks have the same size.
#[derive(Debug, Deserialize)]
struct Bin {
    current: i64,
    block_size: u64,
    /// 0 where a page is one block.
    page_size: u64,
}

/// mimalloc doesn't tell.
#[derive(Debug)]
pub(super) struct Unreadable;

impl Statistics {
    pub(super) fn read() -> Result<Self, Unreadable> {
        let json = MiMalloc::stats_json().map_err(|_| Unreadable)?;
        serde_json::from_slice(json.to_bytes()).map_err(|_| Unreadable)
    }

    /// Bytes in pages that hold at least one block.
    fn active(&self) -> u64 {
        let bytes = |bin: &Bin| not_negative(bin.current).saturating_mul(bin.page_size.max(bin.block_size));
        self.page_bins.iter().map(bytes).fold(0, u64::saturating_add)
    }

    /// Bytes that the system has to give memory for when they are touched.
    pub(super) fn committed(&self) -> u64 {
        not_negative(self.committed.current)
    }

    /// Bytes of address space.
    fn reserved(&self) -> u64 {
        not_negative(self.reserved.current)
    }
}

fn not_negative(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Collector for AllocatorCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(statistics) = self.0.readable(Statistics::read()) else { return Ok(()) };
        for (name, help, value) in [
            ("mimalloc_active_bytes", "Memory in pages that hold at least one allocation", statistics.active()),
            ("mimalloc_committed_bytes", "Memory that the allocator holds, free pages included", statistics.committed()),
            ("mimalloc_reserved_bytes", "Address space that the allocator has reserved", statistics.reserved()),
        ] {
            sample::gauge(&mut encoder, name, help, value)?;
        }
        Ok(())
    }
}
