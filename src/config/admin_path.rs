//! Where the admin socket is by default: the worker and whoever asks it look here, and neither is told.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::listen::ListenAddress;

/// The folders that may hold it, the best first.
pub fn folders(environment: &Environment) -> Vec<PathBuf> {
    let variable =
        |name| environment.variable(name).ok().flatten().map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd separates several by colons; the first one is as good as any.
    let of_systemd = environment.variable("RUNTIME_DIRECTORY").ok().flatten().and_then(|all| all.split(':').next());
    let user = rustix::process::geteuid().as_raw();
    let of_session = variable("XDG_RUNTIME_DIR").map(|folder| folder.join("fulfillment-worker"));
    let elsewhere = ["/run/fulfillment-worker".into(), format!("/tmp/fulfillment-worker-{user}").into()];
    let of_systemd = of_systemd.map(PathBuf::from).filter(|path| path.is_absolute());
    of_systemd.into_iter().chain(of_session).chain(elsewhere).collect()
}

/// Its name in such a folder: with the first port, so that several workers of one machine have one each.
pub fn name(listen: &[ListenAddress]) -> String {
    match listen.iter().find_map(ListenAddress::network) {
        Some(address) => format!("admin-{}.sock", address.port()),
        None => "admin.sock".to_owned(),
    }
}

/// Makes the folder where there is none, and checks that nobody else can put anything in it.
///
/// # Errors
/// Why it can't be used.
pub fn prepare(folder: &Path) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(format!("{}: {error}", folder.display())),
        _ => check(folder),
    }
}

fn check(folder: &Path) -> Result<(), String> {
    let found = folder.symlink_metadata().map_err(|error| format!("{}: {error}", folder.display()))?;
    problem(&found).map_or(Ok(()), |problem| Err(format!("{} {problem}", folder.display())))
}

/// What is wrong with a folder of the default.
fn problem(found: &Metadata) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() {
        return Some("is no folder".to_owned());
    }
    if found.uid() != own {
        return Some(format!("belongs to user {}, and this is user {own}", found.uid()));
    }
    (found.mode() & 0o022 != 0).then(|| format!("can be written by others (mode {:o})", found.mode() & 0o7777))
}

/// Where a worker of this user may be asked, and why not elsewhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Sockets in folders of this user.
    pub sockets: Vec<PathBuf>,
    /// What can't be trusted.
    pub refused: Vec<String>,
}

/// Looks for the sockets of this name. One in a folder that isn't this user's is no worker of this user, whatever it says.
pub fn find(folders: &[PathBuf], name: &str) -> Found {
    let mut found = Found::default();
    for folder in folders.iter().filter(|folder| folder.symlink_metadata().is_ok()) {
        let path = folder.join(name);
        let is_there = path.symlink_metadata().map(|found| found.file_type().is_socket());
        match (check(folder), is_there) {
            (Ok(()), Ok(true)) => found.sockets.push(path),
            // Nobody can tell from outside whether a private folder of another user has it.
            (Err(problem), Ok(true)) => found.refused.push(problem),
            (Err(problem), Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                found.refused.push(problem)
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_folders_of_systemd_and_of_the_session_come_first() {
        let environment =
            Environment::of([("RUNTIME_DIRECTORY", "/run/a:/run/b"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        let own = format!("/tmp/fulfillment-worker-{}", rustix::process::geteuid().as_raw());
        let expected = ["/run/a", "/run/user/1000/fulfillment-worker", "/run/fulfillment-worker", &own];
        assert_eq!(folders(&environment), expected.map(PathBuf::from));
        let relative = Environment::of([("RUNTIME_DIRECTORY", "a"), ("XDG_RUNTIME_DIR", "b")]);
        assert_eq!(folders(&relative), expected[2..].iter().map(PathBuf::from).collect::<Vec<_>>());
    }

    #[test]
    fn workers_on_several_ports_have_a_socket_each() {
        let addresses = |text| super::super::listen::parse(text).unwrap();
        assert_eq!(name(&addresses("unix:/x :2113 :2112")), "admin-2113.sock");
        assert_eq!(name(&addresses("unix:/x")), "admin.sock");
    }

    #[test]
    fn a_folder_is_made_private_and_one_that_others_can_write_or_replace_is_not_used() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("own");
        prepare(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o7777, 0o700);
        prepare(&folder).unwrap();
        mode(&folder, 0o770);
        assert!(prepare(&folder).unwrap_err().ends_with("can be written by others (mode 770)"));
        mode(&folder, 0o700);
        let link = place.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(prepare(&link).unwrap_err().ends_with("is no folder"));
    }

    #[test]
    fn a_socket_is_found_only_in_a_folder_of_this_user_alone() {
        let place = tempfile::tempdir().unwrap();
        let folders = ["none", "planted", "own"].map(|name| place.path().join(name)).to_vec();
        for folder in &folders[1..] {
            prepare(folder).unwrap();
            drop(UnixListener::bind(folder.join("admin-1.sock")).unwrap());
        }
        mode(&folders[1], 0o777);
        let found = find(&folders, "admin-1.sock");
        assert_eq!(found.sockets, [folders[2].join("admin-1.sock")]);
        assert_eq!(found.refused.len(), 1);
        std::fs::write(folders[2].join("admin-2.sock"), "").unwrap();
        assert_eq!(find(&folders[2..], "admin-2.sock"), Found::default());
    }
}
