//! What the control group that the process runs in, which is how a container is limited, allows and has taken.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::endpoint::Errors;
use super::sample::{self, Description};

const MEMORY_LIMIT: Description = Description {
    name: "cgroup_memory_limit",
    help: "Memory that the control group may use; left out where there is no limit",
    unit: Some(Unit::Bytes),
};
const MEMORY_USAGE: Description = Description {
    name: "cgroup_memory_usage",
    help: "Memory that the control group uses, page cache included",
    unit: Some(Unit::Bytes),
};
const CPU_THROTTLED: Description = Description {
    name: "cgroup_cpu_throttled",
    help: "Time for which the control group was stopped, as it had used up its CPU time",
    unit: Some(Unit::Seconds),
};
const CPU_PERIODS_THROTTLED: Description = Description {
    name: "cgroup_cpu_periods_throttled",
    help: "Periods in which the control group used up its CPU time",
    unit: None,
};

/// Above this, version 1 means no limit: it rounds the largest number down to whole pages.
const UNLIMITED: u64 = 1 << 62;

/// Where the kernel shows a control group.
#[derive(Debug, Clone)]
pub struct Cgroup(Place);

#[derive(Debug, Clone)]
enum Place {
    /// Version 2: all of it in one folder.
    Unified(PathBuf),
    /// Version 1: a folder for each controller.
    Split { memory: PathBuf, cpu: PathBuf },
}

impl Cgroup {
    /// The one that this process is in now. Where there is none, or it is hidden, nothing can be read of it.
    pub fn own() -> Self {
        let root = Path::new("/sys/fs/cgroup");
        Self::find(root, &memberships())
    }

    /// One of version 2 that is shown in `folder`.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(Place::Unified(folder.into()))
    }

    /// `memberships` say in which group of each hierarchy we are: controllers, none for version 2, and path.
    fn find(root: &Path, memberships: &[(Vec<String>, String)]) -> Self {
        let below = |hierarchy: PathBuf, is_meant: &dyn Fn(&[String]) -> bool| {
            let path = memberships.iter().find(|(controllers, _)| is_meant(controllers)).map(|(_, path)| path.as_str());
            let folder = hierarchy.join(path.unwrap_or_default().trim_start_matches('/'));
            // In a container without a namespace for them, the path is the host's, and the root is what we are in.
            if folder.is_dir() { folder } else { hierarchy }
        };
        if root.join("cgroup.controllers").exists() {
            return Self::at(below(root.to_owned(), &|controllers| controllers.is_empty()));
        }
        let split = |name: &str| below(root.join(name), &|controllers| controllers.iter().any(|each| each == name));
        Self(Place::Split { memory: split("memory"), cpu: split("cpu") })
    }

    fn memory_limit(&self) -> Reading<u64> {
        match &self.0 {
            Place::Unified(folder) => limit(&folder.join("memory.max")),
            Place::Split { memory, .. } => {
                Ok(number(&memory.join("memory.limit_in_bytes"))?.filter(|limit| *limit < UNLIMITED))
            }
        }
    }

    fn memory_usage(&self) -> Reading<u64> {
        match &self.0 {
            Place::Unified(folder) => number(&folder.join("memory.current")),
            Place::Split { memory, .. } => number(&memory.join("memory.usage_in_bytes")),
        }
    }

    /// In cores' worth of time.
    fn cpu_limit(&self) -> Reading<f64> {
        let (quota, period) = match &self.0 {
            Place::Unified(folder) => {
                let Some(text) = text(&folder.join("cpu.max"))? else { return Ok(None) };
                let (quota, period) = text.trim().split_once(' ').ok_or_else(|| unreadable(&text))?;
                (parsed_limit(quota)?, Some(parsed(period)?))
            }
            Place::Split { cpu, .. } => {
                let quota: Option<i64> = number(&cpu.join("cpu.cfs_quota_us"))?;
                // -1 is no limit.
                (quota.and_then(|quota| u64::try_from(quota).ok()), number(&cpu.join("cpu.cfs_period_us"))?)
            }
        };
        let cores = |(quota, period): (u64, u64)| (period > 0).then(|| quota as f64 / period as f64);
        Ok(quota.zip(period).and_then(cores))
    }

    /// For how many seconds it was stopped, and how often.
    fn cpu_throttled(&self) -> Reading<(f64, u64)> {
        let (folder, time, per_second) = match &self.0 {
            Place::Unified(folder) => (folder, "throttled_usec", 1e6),
            Place::Split { cpu, .. } => (cpu, "throttled_time", 1e9),
        };
        let Some(text) = text(&folder.join("cpu.stat"))? else { return Ok(None) };
        // The root group and one whose CPU time nobody limits have no such lines.
        let value = |key: &str| -> Reading<u64> {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(parsed).transpose()
        };
        Ok(value(time)?.zip(value("nr_throttled")?).map(|(time, times)| (time as f64 / per_second, times)))
    }
}

/// What a control group tells; nothing where it has no such file or no limit. An error is a value that is there and can't be
/// read.
type Reading<T> = io::Result<Option<T>>;

fn text(file: &Path) -> Reading<String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number that a file consists of.
fn number<T: FromStr>(file: &Path) -> Reading<T> {
    text(file)?.as_deref().map(parsed).transpose()
}

/// The same of a file that may say that there is no limit.
fn limit(file: &Path) -> Reading<u64> {
    Ok(text(file)?.as_deref().map(parsed_limit).transpose()?.flatten())
}

fn parsed_limit(text: &str) -> Reading<u64> {
    if text.trim() == "max" { Ok(None) } else { parsed(text).map(Some) }
}

fn parsed<T: FromStr>(text: &str) -> io::Result<T> {
    text.trim().parse().map_err(|_| unreadable(text))
}

fn unreadable(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no number"))
}

/// As `/proc/self/cgroup` tells.
#[cfg(target_os = "linux")]
fn memberships() -> Vec<(Vec<String>, String)> {
    let Ok(groups) = procfs::process::Process::myself().and_then(|process| process.cgroups()) else {
        return Vec::new();
    };
    groups.into_iter().map(|group| (group.controllers, group.pathname)).collect()
}

#[cfg(not(target_os = "linux"))]
fn memberships() -> Vec<(Vec<String>, String)> {
    Vec::new()
}

/// Shows a control group.
#[derive(Debug)]
pub(super) struct CgroupCollector {
    cgroup: Cgroup,
    errors: Errors,
}

impl CgroupCollector {
    /// What can't be read is left out, and counted as one of `errors`; what is not there is left out.
    pub(super) fn new(cgroup: Cgroup, errors: Errors) -> Self {
        Self { cgroup, errors }
    }

    fn shown<T>(&self, reading: Reading<T>) -> Option<T> {
        self.errors.readable(reading).flatten()
    }
}

impl Collector for CgroupCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(limit) = self.shown(self.cgroup.memory_limit()) {
            sample::gauge(&mut encoder, &MEMORY_LIMIT, limit)?;
        }
        if let Some(usage) = self.shown(self.cgroup.memory_usage()) {
            sample::gauge(&mut encoder, &MEMORY_USAGE, usage)?;
        }
        if let Some(limit) = self.shown(self.cgroup.cpu_limit()) {
            let description = Description {
                name: "cgroup_cpu_limit",
                help: "CPU time that the control group may use; left out where there is no limit",
                unit: Some(Unit::Other("cores".to_owned())),
            };
            sample::gauge(&mut encoder, &description, limit)?;
        }
        if let Some((seconds, periods)) = self.shown(self.cgroup.cpu_throttled()) {
            sample::counter(&mut encoder, &CPU_THROTTLED, seconds)?;
            sample::counter(&mut encoder, &CPU_PERIODS_THROTTLED, periods)?;
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

    fn member(controllers: &[&str], path: &str) -> (Vec<String>, String) {
        (controllers.iter().map(|each| (*each).to_owned()).collect(), path.to_owned())
    }

    #[test]
    fn version_2_is_read_in_the_group_that_the_process_is_in() {
        let root = folder(&[
            ("cgroup.controllers", "cpu memory\n"),
            ("shop/memory.max", "268435456\n"),
            ("shop/memory.current", "1048576\n"),
            ("shop/cpu.max", "150000 100000\n"),
            ("shop/cpu.stat", "usage_usec 9\nnr_periods 8\nnr_throttled 3\nthrottled_usec 2500000\n"),
        ]);
        let group = Cgroup::find(root.path(), &[member(&[], "/shop")]);
        assert_eq!((read(group.memory_limit()), read(group.memory_usage())), (Some(268_435_456), Some(1_048_576)));
        assert_eq!((read(group.cpu_limit()), read(group.cpu_throttled())), (Some(1.5), Some((2.5, 3))));
    }

    #[test]
    fn what_has_no_limit_or_is_not_there_is_left_out() {
        let root = folder(&[
            ("cgroup.controllers", ""),
            ("memory.max", "max\n"),
            ("cpu.max", "max 100000\n"),
            ("cpu.stat", "usage_usec 9\n"),
        ]);
        let group = Cgroup::find(root.path(), &[]);
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
        of_cgroup.register_collector(Box::new(CgroupCollector::new(Cgroup::at(root.path()), errors)));
        let mut text = String::new();
        text::encode_registry(&mut text, &of_cgroup).unwrap();
        assert!(text.contains("\ncgroup_memory_usage_bytes 1048576\n") && !text.contains("limit"), "{text}");
        text::encode_registry(&mut text, &registry).unwrap();
        assert!(text.contains("errors_total{collector=\"cgroup\"} 3\n"), "{text}");
    }

    #[test]
    fn a_path_that_only_the_host_knows_leads_to_the_root() {
        let root = folder(&[("cgroup.controllers", ""), ("memory.max", "4096\n")]);
        let group = Cgroup::find(root.path(), &[member(&[], "/docker/cafe")]);
        assert_eq!(read(group.memory_limit()), Some(4_096));
    }

    #[test]
    fn version_1_has_a_folder_for_each_controller() {
        let files = [
            ("memory/shop/memory.limit_in_bytes", "268435456\n"),
            ("memory/shop/memory.usage_in_bytes", "1048576\n"),
            ("cpu/cpu.cfs_quota_us", "50000\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpu/cpu.stat", "nr_periods 8\nnr_throttled 3\nthrottled_time 2500000000\n"),
        ];
        let root = folder(&files);
        let group = Cgroup::find(root.path(), &[member(&["memory"], "/shop"), member(&["cpu", "cpuacct"], "/")]);
        assert_eq!((read(group.memory_limit()), read(group.memory_usage())), (Some(268_435_456), Some(1_048_576)));
        assert_eq!((read(group.cpu_limit()), read(group.cpu_throttled())), (Some(0.5), Some((2.5, 3))));
        fs::write(root.path().join("memory/shop/memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        fs::write(root.path().join("cpu/cpu.cfs_quota_us"), "-1\n").unwrap();
        assert_eq!((read(group.memory_limit()), read(group.cpu_limit())), (None, None));
    }
}
