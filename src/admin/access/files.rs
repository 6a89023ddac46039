//! The files of a web configuration: read within limits, and recognised when they change.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// More than any list of users or certificates that a person keeps, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// The text of a file.
///
/// # Errors
/// Says why it can't be read, and leaves its name to the caller.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    String::from_utf8(read(path)?).map_err(|_| "is not UTF-8".to_owned())
}

/// The bytes of a file.
///
/// # Errors
/// As [`read_text`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    // A pipe would hold up whoever opens it; `/dev/null` is as good as an empty file.
    if !metadata.is_file() && path != Path::new("/dev/null") {
        return Err("is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is larger than {} KiB", LARGEST / 1024));
    }
    Ok(bytes)
}

/// What tells one state of some files from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fingerprint(Vec<Option<Of>>);

/// One file's; links are followed, so that one which leads elsewhere is a change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Of {
    modified: Option<SystemTime>,
    length: u64,
    /// Device, inode, and the time of the last change of whatever kind.
    identity: (u64, u64, i64, i64),
}

impl Fingerprint {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|file| fs::metadata(file).ok().map(|metadata| Of::new(&metadata))).collect())
    }
}

impl Of {
    fn new(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0, 0);
        Self { modified: metadata.modified().ok(), length: metadata.len(), identity }
    }
}
