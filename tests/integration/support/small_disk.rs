//! A file system of a size of its own, so that it can be full.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, mounted over a folder; unmounted when dropped.
pub(crate) struct SmallDisk {
    folder: PathBuf,
}

/// What takes up the space that was free; gives it back when dropped.
pub(crate) struct Ballast {
    file: PathBuf,
}

impl SmallDisk {
    /// Mounts one over an empty folder. The error says why that can't be done here: it takes root, and a container's
    /// root is often not allowed to.
    pub(crate) fn mount(folder: &Path, mebibytes: u32) -> Result<Self, String> {
        let size = format!("size={mebibytes}m,mode=755");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        let output = mount.map_err(|error| format!("mount: {error}"))?;
        if output.status.success() {
            Ok(Self { folder: folder.to_owned() })
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) -> Ballast {
        let ballast = Ballast { file: self.folder.join("ballast") };
        let mut file = File::create(&ballast.file).expect("a file on the small disk");
        let piece = vec![0; 1 << 20];
        loop {
            match file.write(&piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return ballast,
                Err(error) => panic!("the small disk can't be filled: {error}"),
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, as a server may still have files open. Best effort: a failed test should show its own failure.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // It is gone with its disk, if not now.
        let _ = std::fs::remove_file(&self.file);
    }
}
