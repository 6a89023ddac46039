//! Where the admin socket is by default: the worker and whoever asks it look here, and neither is told.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
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

/// Its name in such a folder: with where the worker listens first, so that each worker of one machine has its own, and nobody
/// who asks for one is answered by another.
pub fn name(listen: &[ListenAddress]) -> String {
    match (listen.iter().find_map(ListenAddress::network), listen.first()) {
        (Some(address), _) if address.ip().is_unspecified() => format!("admin-{}.sock", address.port()),
        (Some(address), _) => format!("admin-{}-{}.sock", address.ip(), address.port()),
        (None, Some(ListenAddress::Unix(path))) => format!("admin-{:016x}.sock", digest(path)),
        (None, _) => "admin.sock".to_owned(),
    }
}

/// Of the whole path, which is too long for a name (FNV-1a).
fn digest(path: &Path) -> u64 {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bytes = path.as_os_str().as_bytes();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether the worker with a socket of this name listens where it is asked for. One on every address listens on each; where
/// every address is asked for, any of the port will do.
fn is_asked_for(socket: &str, listen: &[ListenAddress]) -> bool {
    let network = listen.iter().find_map(ListenAddress::network);
    socket == name(listen)
        || network.is_some_and(|address| {
            let port = format!("{}.sock", address.port());
            let rest = socket.strip_prefix("admin-").and_then(|rest| rest.strip_suffix(&port));
            rest == Some("") || address.ip().is_unspecified() && rest.is_some_and(|rest| rest.ends_with('-'))
        })
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

/// Looks for the sockets of the workers that listen there. One in a folder that isn't this user's is no worker of this user,
/// whatever it says.
pub fn find(folders: &[PathBuf], listen: &[ListenAddress]) -> Found {
    let mut found = Found::default();
    for folder in folders.iter().filter(|folder| folder.symlink_metadata().is_ok()) {
        match (check(folder), sockets(folder, listen)) {
            (Ok(()), Ok(sockets)) => found.sockets.extend(sockets),
            (Err(problem), Ok(sockets)) if !sockets.is_empty() => found.refused.push(problem),
            // Nobody can tell from outside whether a private folder of another user has it.
            (Err(problem), Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                found.refused.push(problem)
            }
            _ => {}
        }
    }
    found
}

/// The one whose name fits exactly comes first.
fn sockets(folder: &Path, listen: &[ListenAddress]) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.filter_map(Result::ok);
    let mut sockets: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| is_asked_for(name, listen)))
        .map(|entry| entry.path())
        .filter(|path| path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()))
        .collect();
    let exact = folder.join(name(listen));
    sockets.sort_by_key(|path| (*path != exact, path.clone()));
    Ok(sockets)
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

    fn addresses(text: &str) -> Vec<ListenAddress> {
        super::super::listen::parse(text).unwrap()
    }

    #[test]
    fn each_worker_of_a_machine_has_a_socket_of_its_own() {
        assert_eq!(name(&addresses("unix:/x :2113 :2112")), "admin-2113.sock");
        assert_eq!(name(&addresses("0.0.0.0:2113")), "admin-2113.sock");
        assert_eq!(name(&addresses("127.0.0.2:2112")), "admin-127.0.0.2-2112.sock");
        assert_eq!(name(&addresses("[::1]:2112")), "admin-::1-2112.sock");
        assert_ne!(name(&addresses("unix:/x")), name(&addresses("unix:/y")));
    }

    #[test]
    fn a_worker_is_asked_only_if_it_listens_where_it_is_looked_for() {
        let table = [
            (":2112", ":2112", true),
            (":2112", "127.0.0.1:2112", true),
            (":2112", "[fe80::1]:2112", true),
            ("127.0.0.1:2112", ":2112", true),
            ("127.0.0.1:2112", "127.0.0.1:2112", true),
            ("127.0.0.1:2112", "127.0.0.2:2112", false),
            ("127.0.0.1:2112", "[::1]:2112", false),
            (":2112", ":12112", false),
            (":2112", "127.0.0.1:12112", false),
            (":2112", "unix:/x", false),
            ("unix:/x", "unix:/x", true),
            ("unix:/x", "unix:/y", false),
            ("unix:/x", ":2112", false),
        ];
        for (asked, listens, expected) in table {
            let worker = name(&addresses(listens));
            assert_eq!(is_asked_for(&worker, &addresses(asked)), expected, "{asked} {worker}");
        }
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
        let found = find(&folders, &addresses(":1"));
        assert_eq!(found.sockets, [folders[2].join("admin-1.sock")]);
        assert_eq!(found.refused.len(), 1);
        std::fs::write(folders[2].join("admin-2.sock"), "").unwrap();
        assert_eq!(find(&folders[2..], &addresses(":2")), Found::default());
    }
}
