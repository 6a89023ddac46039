//! Who may read the file: its owner alone, as orders and what warehouses answered are nobody else's business.

use std::path::Path;

/// Makes an empty file for its owner alone if there is none. SQLite would make one that everybody may read; the log and the
/// index that it puts beside the file have the file's rights.
///
/// A link to a file that doesn't exist yet stays, and the file is made where it leads. Where this fails, SQLite fails as well
/// and says why; should it not, [`warn_if_open_to_all`] speaks.
#[cfg(unix)]
pub(super) fn make(path: &Path) {
    /// More than a sane chain of links has.
    const MOST_LINKS: usize = 8;

    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = place.read_link() else { break };
        place = place.parent().unwrap_or(Path::new("/")).join(target);
    }
    let _ = make_one(&place);
}

/// Without opening it: closing any handle of the file would drop the locks of this process on it, if another thread was
/// faster.
#[cfg(target_os = "linux")]
fn make_one(path: &Path) -> rustix::io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    mknodat(CWD, path, FileType::RegularFile, Mode::RUSR | Mode::WUSR, 0)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn make_one(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;

    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Says so where every user of this machine may read the file. An older version made it so, and it may be meant.
#[cfg(unix)]
pub(super) fn warn_if_open_to_all(path: &Path) {
    use std::os::unix::fs::MetadataExt;

    const OTHERS: u32 = 0o007;
    if let Ok(metadata) = path.metadata()
        && metadata.mode() & OTHERS != 0
    {
        tracing::warn!(
            file = %path.display(),
            mode = format_args!("{:o}", metadata.mode() & 0o777),
            "every user of this machine has access to the embedded database; if they needn't, chmod o= it, and its -wal and -shm"
        );
    }
}

#[cfg(not(unix))]
pub(super) fn make(_: &Path) {}

#[cfg(not(unix))]
pub(super) fn warn_if_open_to_all(_: &Path) {}
