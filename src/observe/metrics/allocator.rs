//! What glibc's allocator holds: the counterpart of Go's `go_memstats_*`.

use std::fmt;

use malloc_info::info::{Malloc, SystemType, TotalType};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::endpoint::Errors;
use super::sample;

/// Reads the allocator's statistics. All are near zero in a program that uses another allocator. What can't be read is left
/// out, and counted as an error.
#[derive(Debug)]
pub(super) struct AllocatorCollector(pub(super) Errors);

/// Bytes, summed over the allocator's heaps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statistics {
    /// In heaps.
    heaps: u64,
    /// In blocks of the heaps that are free.
    free: u64,
    /// In large blocks, each of which the system gave by itself.
    large: u64,
}

impl Statistics {
    pub(super) fn read() -> Result<Self, malloc_info::Error> {
        malloc_info::malloc_info().map(|info| Self::of(&info))
    }

    fn of(info: &Malloc) -> Self {
        let total = |wanted: &[TotalType]| {
            let totals = info.total.iter().filter(|total| wanted.contains(&total.r#type));
            totals.map(|total| total.size as u64).sum()
        };
        let heaps = info.system.iter().filter(|system| system.r#type == SystemType::Current);
        Self {
            heaps: heaps.map(|system| system.size as u64).sum(),
            free: total(&[TotalType::Fast, TotalType::Rest]),
            large: total(&[TotalType::Mmap]),
        }
    }

    /// What the system gave.
    pub(super) fn held(&self) -> u64 {
        self.heaps.saturating_add(self.large)
    }

    /// What the program uses. Threads keep a few freed blocks for themselves, which count as in use.
    fn allocated(&self) -> u64 {
        self.held().saturating_sub(self.free)
    }
}

impl Collector for AllocatorCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(statistics) = self.0.readable(Statistics::read()) else { return Ok(()) };
        for (name, help, value) in [
            ("malloc_allocated_bytes", "Memory that the program has allocated and not freed", statistics.allocated()),
            ("malloc_free_bytes", "Memory in free blocks, kept for later allocations", statistics.free),
            ("malloc_held_bytes", "Memory that the allocator holds, free blocks included", statistics.held()),
        ] {
            sample::gauge(&mut encoder, name, help, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_allocated_is_what_is_held_without_what_is_free() {
        let statistics = Statistics { heaps: 1_000, free: 300, large: 50 };
        assert_eq!((statistics.held(), statistics.allocated()), (1_050, 750));
    }

    /// In a process of its own, where no other test allocates and frees meanwhile. Caught, when seeded: large blocks that are
    /// left out, and free ones that count as allocated.
    #[test]
    fn blocks_small_and_large_are_seen_while_they_are_there() {
        let name = "observe::metrics::allocator::tests::makes_and_frees_blocks_small_and_large";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", name, "--ignored", "--nocapture"]).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && printed.contains("1 passed"),
            "{printed}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    #[ignore = "run by the test above"]
    fn makes_and_frees_blocks_small_and_large() {
        const MIB: u64 = 1 << 20;
        let small = || (0..64 << 10).map(|_| vec![1_u8; 1 << 10]).collect();
        let blocks: [&dyn Fn() -> Vec<Vec<u8>>; 2] = [&small, &|| vec![vec![1; 64 << 20]]];
        for make in blocks {
            let before = Statistics::read().unwrap().allocated();
            let made = black_box(make());
            let with = Statistics::read().unwrap().allocated();
            drop(made);
            let after = Statistics::read().unwrap().allocated();
            // Not all of it: the thread keeps a few of the freed blocks for itself.
            assert!(with > before + 60 * MIB, "{before} {with}");
            assert!(after + 60 * MIB < with, "{with} {after}");
        }
    }
}
