//! Files with secrets that others can read.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where platforms put secrets for one container or unit alone, readable for everybody in there.
const HANDED_OUT: [&str; 2] = ["/run/secrets", "/run/credentials"];

/// Whether others than its owner can read a file with a secret, or write to it: the warning that says so.
///
/// As libpq has it for keys: a file of this user's has mode 0600 at most, one of root's 0640. Without a warning for files in
/// `/run/secrets` and `/run/credentials` and on a read-only tmpfs, such as a volume of Kubernetes: each is there for one
/// container or unit.
pub(crate) fn warning(name: &str, path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let found = file.metadata().ok()?;
    let exposed = found.is_file() && found.mode() & !allowed(&found) & 0o777 != 0;
    if !exposed || is_handed_out(path) || is_read_only_memory(&file) {
        return None;
    }
    let (mode, path) = (found.mode() & 0o777, path.display());
    Some(format!(
        "others can read or change the secret in {path} ({name}), as its mode is {mode:03o}; chmod {:03o} {path}",
        mode & allowed(&found) & 0o666
    ))
}

fn is_handed_out(path: &Path) -> bool {
    HANDED_OUT.iter().any(|folder| path.starts_with(folder))
}

fn allowed(file: &Metadata) -> u32 {
    if file.uid() == 0 { 0o750 } else { 0o700 }
}

#[cfg(target_os = "linux")]
fn is_read_only_memory(file: &File) -> bool {
    /// Of tmpfs and ramfs.
    const MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
    let is_memory = rustix::fs::fstatfs(file).is_ok_and(|system| MEMORY.contains(&(system.f_type as u32)));
    is_memory
        && rustix::fs::fstatvfs(file).is_ok_and(|system| system.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

#[cfg(not(target_os = "linux"))]
fn is_read_only_memory(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn who_else_can_read_or_change_a_file_is_warned_about() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hush").unwrap();
        for (mode, is_exposed) in
            [(0o600, false), (0o400, false), (0o644, true), (0o444, true), (0o604, true), (0o620, true), (0o666, true)]
        {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let warning = warning("REDIS_URL_FILE", &path);
            assert_eq!(warning.is_some(), is_exposed, "{mode:o}: {warning:?}");
            if let Some(warning) = warning {
                assert!(warning.contains("(REDIS_URL_FILE)") && !warning.contains("hush"), "{warning}");
                assert!(warning.contains(&format!("its mode is {mode:03o}; chmod ")), "{warning}");
            }
        }
    }

    #[test]
    fn files_that_a_platform_hands_to_one_container_are_not_warned_about() {
        for (path, expected) in [
            ("/run/secrets/queue", true),
            ("/run/credentials/worker.service/queue", true),
            ("/run/secrets-of-mine/queue", false),
            ("/etc/queue", false),
        ] {
            assert_eq!(is_handed_out(Path::new(path)), expected, "{path}");
        }
    }
}
