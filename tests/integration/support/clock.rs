//! A wall clock for one process that is not this machine's.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The wall clock of a process that has [`HostClock::environment`]. Its monotonic clock is left as it is, as an hour on
/// the wall is no hour of waiting.
pub(crate) struct HostClock {
    preloaded: PathBuf,
    offset: PathBuf,
    _folder: TempDir,
}

impl HostClock {
    /// A clock that is off by so much, as libfaketime writes it: `+1h`, `-1h`.
    pub(crate) fn off_by(offset: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the clock");
        let clock = Self { preloaded: library(), offset: folder.path().join("offset"), _folder: folder };
        clock.jump_to(offset);
        clock
    }

    /// From now on it is off by so much. Seen by the process within a second.
    pub(crate) fn jump_to(&self, offset: &str) {
        let new = self.offset.with_extension("new");
        std::fs::write(&new, format!("{offset}\n")).expect("a file for the offset");
        // At once, as the process may be reading it.
        std::fs::rename(new, &self.offset).expect("the file for the offset");
    }

    /// What makes a process go by this clock.
    pub(crate) fn environment(&self) -> [(&str, &str); 4] {
        [
            ("LD_PRELOAD", text(&self.preloaded)),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.offset)),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// libfaketime, as Debian installs it.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime below /usr/lib; run scripts/install-packages.sh")
}
