//! What the control group that the process runs in, which is how a container is limited, allows and has taken.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

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

    fn memory_limit(&self) -> Option<u64> {
        match &self.0 {
            Place::Unified(folder) => number(&folder.join("memory.max")),
            Place::Split { memory, .. } => {
                number(&memory.join("memory.limit_in_bytes")).filter(|limit| *limit < UNLIMITED)
            }
        }
    }

    fn memory_usage(&self) -> Option<u64> {
        match &self.0 {
            Place::Unified(folder) => number(&folder.join("memory.current")),
            Place::Split { memory, .. } => number(&memory.join("memory.usage_in_bytes")),
        }
    }

    /// In cores' worth of time.
    fn cpu_limit(&self) -> Option<f64> {
        let (quota, period): (u64, u64) = match &self.0 {
            Place::Unified(folder) => {
                let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse().ok()?, period.parse().ok()?)
            }
            Place::Split { cpu, .. } => {
                // -1, for no limit, is no number here.
                (number(&cpu.join("cpu.cfs_quota_us"))?, number(&cpu.join("cpu.cfs_period_us"))?)
            }
        };
        (period > 0).then(|| quota as f64 / period as f64)
    }

    /// For how many seconds it was stopped, and how often.
    fn cpu_throttled(&self) -> Option<(f64, u64)> {
        let (folder, time, per_second) = match &self.0 {
            Place::Unified(folder) => (folder, "throttled_usec", 1e6),
            Place::Split { cpu, .. } => (cpu, "throttled_time", 1e9),
        };
        let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
        let value = |key: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
        };
        Some((value(time)? as f64 / per_second, value("nr_throttled")?))
    }
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

/// The number that a file consists of.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

impl Collector for Cgroup {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(limit) = self.memory_limit() {
            sample::gauge(&mut encoder, &MEMORY_LIMIT, limit)?;
        }
        if let Some(usage) = self.memory_usage() {
            sample::gauge(&mut encoder, &MEMORY_USAGE, usage)?;
        }
        if let Some(limit) = self.cpu_limit() {
            let description = Description {
                name: "cgroup_cpu_limit",
                help: "CPU time that the control group may use; left out where there is no limit",
                unit: Some(Unit::Other("cores".to_owned())),
            };
            sample::gauge(&mut encoder, &description, limit)?;
        }
        if let Some((seconds, periods)) = self.cpu_throttled() {
            sample::counter(&mut encoder, &CPU_THROTTLED, seconds)?;
            sample::counter(&mut encoder, &CPU_PERIODS_THROTTLED, periods)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
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
        assert_eq!((group.memory_limit(), group.memory_usage()), (Some(268_435_456), Some(1_048_576)));
        assert_eq!((group.cpu_limit(), group.cpu_throttled()), (Some(1.5), Some((2.5, 3))));
    }

    #[test]
    fn what_has_no_limit_or_can_not_be_read_is_left_out() {
        let root = folder(&[
            ("cgroup.controllers", ""),
            ("memory.max", "max\n"),
            ("cpu.max", "max 100000\n"),
            ("cpu.stat", "usage_usec 9\n"),
        ]);
        let group = Cgroup::find(root.path(), &[]);
        assert_eq!((group.memory_limit(), group.memory_usage()), (None, None));
        assert_eq!((group.cpu_limit(), group.cpu_throttled()), (None, None));
    }

    #[test]
    fn a_path_that_only_the_host_knows_leads_to_the_root() {
        let root = folder(&[("cgroup.controllers", ""), ("memory.max", "4096\n")]);
        assert_eq!(Cgroup::find(root.path(), &[member(&[], "/docker/cafe")]).memory_limit(), Some(4_096));
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
        assert_eq!((group.memory_limit(), group.memory_usage()), (Some(268_435_456), Some(1_048_576)));
        assert_eq!((group.cpu_limit(), group.cpu_throttled()), (Some(0.5), Some((2.5, 3))));
        fs::write(root.path().join("memory/shop/memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        fs::write(root.path().join("cpu/cpu.cfs_quota_us"), "-1\n").unwrap();
        assert_eq!((group.memory_limit(), group.cpu_limit()), (None, None));
    }
}
