//! Reads the limits and usage of the process's control group, by which a container is limited. Version 2 only.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::endpoint::Errors;
use super::sample;

/// A control group of version 2, shown by the kernel in this folder.
#[derive(Debug, Clone)]
pub struct Cgroup(PathBuf);

/// A value of a control group: `None` where it has no such file or no limit. An error is a value that exists and can't be
/// read.
type Reading<T> = io::Result<Option<T>>;

impl Cgroup {
    /// The group of this process. Nothing can be read of it where there is none or it is hidden.
    pub fn own() -> Self {
        let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(Path::new("/sys/fs/cgroup"), &memberships)
    }

    /// The group in `folder`.
    #[cfg(any(test, feature = "internals"))]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// `memberships` is text as in `/proc/self/cgroup`, whose line for version 2 begins with `0::`.
    fn find(root: &Path, memberships: &str) -> Self {
        let path = memberships.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let folder = root.join(path);
        // In a container without a namespace for groups, the path is the host's, and the root is our own group.
        Self(if folder.is_dir() { folder } else { root.to_owned() })
    }

    /// In bytes.
    fn memory_limit(&self) -> Reading<u64> {
        self.text("memory.max")?.as_deref().map_or(Ok(None), number)
    }

    /// In bytes.
    fn memory_usage(&self) -> Reading<u64> {
        self.text("memory.current")?.as_deref().map_or(Ok(None), number)
    }

    /// In cores' worth of time.
    fn cpu_limit(&self) -> Reading<f64> {
        let Some(text) = self.text("cpu.max")? else { return Ok(None) };
        let (quota, period) = text.trim().split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
        let limit = number(quota)?.zip(number(period)?).filter(|(_, period)| *period > 0);
        Ok(limit.map(|(quota, period)| quota as f64 / period as f64))
    }

    /// For how many seconds it was stopped, and in how many periods.
    fn cpu_throttled(&self) -> Reading<(f64, u64)> {
        let Some(text) = self.text("cpu.stat")? else { return Ok(None) };
        // The root group and a group without a limit have no such lines.
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map_or(Ok(None), number);
        let throttled = value("throttled_usec ")?.zip(value("nr_throttled ")?);
        Ok(throttled.map(|(micros, periods)| (micros as f64 / 1e6, periods)))
    }

    fn text(&self, file: &str) -> Reading<String> {
        match fs::read_to_string(self.0.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }
}

/// `None` for `max`, which is no limit.
fn number(text: &str) -> Reading<u64> {
    match text.trim() {
        "max" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| io::ErrorKind::InvalidData.into()),
    }
}

/// Shows a control group. Leaves out a value that is missing or unreadable, and counts an unreadable one in `errors`.
#[derive(Debug)]
pub(super) struct CgroupCollector {
    pub(super) cgroup: Cgroup,
    pub(super) errors: Errors,
}

impl CgroupCollector {
    fn shown<T>(&self, reading: Reading<T>) -> Option<T> {
        self.errors.readable(reading).flatten()
    }
}

impl Collector for CgroupCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(limit) = self.shown(self.cgroup.memory_limit()) {
            let help = "Memory that the control group may use; left out where there is no limit";
            sample::gauge(&mut encoder, "cgroup_memory_limit_bytes", help, limit)?;
        }
        if let Some(usage) = self.shown(self.cgroup.memory_usage()) {
            let help = "Memory that the control group uses, page cache included";
            sample::gauge(&mut encoder, "cgroup_memory_usage_bytes", help, usage)?;
        }
        if let Some(limit) = self.shown(self.cgroup.cpu_limit()) {
            let help = "CPU time that the control group may use; left out where there is no limit";
            sample::gauge(&mut encoder, "cgroup_cpu_limit_cores", help, limit)?;
        }
        if let Some((seconds, periods)) = self.shown(self.cgroup.cpu_throttled()) {
            let help = "Time for which the control group was stopped, as it had used up its CPU time";
            sample::counter(&mut encoder, "cgroup_cpu_throttled_seconds", help, seconds)?;
            let help = "Periods in which the control group used up its CPU time";
            sample::counter(&mut encoder, "cgroup_cpu_periods_throttled", help, periods)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;
    use tempfile::TempDir;

    use super::*;
    use crate::observe::metrics::endpoint::{Endpoint, Source};

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    fn read<T>(reading: Reading<T>) -> Option<T> {
        reading.unwrap()
    }

    #[test]
    fn the_group_that_the_process_is_in_is_read() {
        let root = folder(&[
            ("shop/memory.max", "268435456\n"),
            ("shop/memory.current", "1048576\n"),
            ("shop/cpu.max", "150000 100000\n"),
            ("shop/cpu.stat", "usage_usec 9\nnr_periods 8\nnr_throttled 3\nthrottled_usec 2500000\n"),
        ]);
        let group = Cgroup::find(root.path(), "1:memory:/other\n0::/shop\n");
        assert_eq!((read(group.memory_limit()), read(group.memory_usage())), (Some(268_435_456), Some(1_048_576)));
        assert_eq!((read(group.cpu_limit()), read(group.cpu_throttled())), (Some(1.5), Some((2.5, 3))));
    }

    #[test]
    fn what_has_no_limit_or_is_not_there_is_left_out() {
        let root = folder(&[("memory.max", "max\n"), ("cpu.max", "max 100000\n"), ("cpu.stat", "usage_usec 9\n")]);
        let group = Cgroup::at(root.path());
        assert_eq!((read(group.memory_limit()), read(group.memory_usage())), (None, None));
        assert_eq!((read(group.cpu_limit()), read(group.cpu_throttled())), (None, None));
    }

    /// Caught, when it was written: a file that can't be read was passed over in silence.
    #[test]
    fn what_is_there_and_cannot_be_read_is_counted_and_the_rest_is_shown() {
        // A folder can't be read as a file, whoever tries.
        let root = folder(&[
            ("memory.max/in-the-way", ""),
            ("memory.current", "1048576\n"),
            ("cpu.max", "much\n"),
            ("cpu.stat", "nr_throttled 3\nthrottled_usec -\n"),
        ]);
        let mut registry = Registry::default();
        let endpoint = Endpoint::register(&mut registry);
        let errors = endpoint.errors_of(Source::Cgroup);
        let mut of_cgroup = Registry::default();
        of_cgroup.register_collector(Box::new(CgroupCollector { cgroup: Cgroup::at(root.path()), errors }));
        let mut text = String::new();
        text::encode_registry(&mut text, &of_cgroup).unwrap();
        assert!(text.contains("\ncgroup_memory_usage_bytes 1048576\n") && !text.contains("limit"), "{text}");
        text::encode_registry(&mut text, &registry).unwrap();
        assert!(text.contains("errors_total{collector=\"cgroup\"} 3\n"), "{text}");
    }

    #[test]
    fn a_path_that_only_the_host_knows_leads_to_the_root() {
        let root = folder(&[("memory.max", "4096\n")]);
        let group = Cgroup::find(root.path(), "0::/docker/cafe\n");
        assert_eq!(read(group.memory_limit()), Some(4_096));
    }
}
