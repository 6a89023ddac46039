//! Unix sockets: with their rights from the first moment on, and gone when nobody listens any more.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Type};
use tokio::net::{UnixListener, UnixStream};

use super::Peer;
use super::bind_error::BindError;
use super::network::BACKLOG;
use crate::config::environment::Environment;
use crate::config::{ListenAddress, admin_path};

/// What a socket is for, and so who may open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// One of `--listen`: for this user and its group, to which a reverse proxy may belong.
    Listen,
    /// That of `--admin-socket`: for this user alone.
    Admin,
}

impl Use {
    fn mode(self) -> u32 {
        match self {
            Self::Listen => 0o660,
            Self::Admin => 0o600,
        }
    }

    fn peer(self) -> Peer {
        match self {
            Self::Listen => Peer::Socket,
            Self::Admin => Peer::AdminSocket,
        }
    }

    fn error(self, path: &Path, problem: String) -> BindError {
        let option = if self == Self::Listen { "--listen unix:PATH" } else { "--admin-socket PATH" };
        BindError::new(format_args!("unix:{}", path.display()), problem, format!("choose another with {option}"))
    }
}

/// A Unix socket that is listened on.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    file: SocketFile,
    usage: Use,
}

impl Socket {
    pub(super) fn bind(path: &Path, usage: Use) -> Result<Self, BindError> {
        Self::try_bind(path, usage).map_err(|problem| usage.error(path, problem))
    }

    fn try_bind(path: &Path, usage: Use) -> Result<Self, String> {
        if occupied(path)? == Occupied::Stale {
            std::fs::remove_file(path)
                .map_err(|error| format!("nobody listens on the socket there, and it can't be removed: {error}"))?;
        }
        let (listener, file) = listen(path, usage.mode()).map_err(|error| reason(path, &error))?;
        Ok(Self { listener, file, usage })
    }

    /// In the first folder that can be had.
    pub(super) fn bind_default(listen: &[ListenAddress], environment: &Environment) -> Result<Self, String> {
        let name = admin_path::name(listen);
        let mut problems = Vec::new();
        for folder in admin_path::folders(environment) {
            let path = folder.join(&name);
            let bound = admin_path::prepare(&folder).and_then(|()| {
                Self::try_bind(&path, Use::Admin).map_err(|problem| format!("{}: {problem}", path.display()))
            });
            match bound {
                Ok(socket) => return Ok(socket),
                Err(problem) => problems.push(problem),
            }
        }
        Err(problems.join("; "))
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    pub(super) async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        self.listener.accept().await.map(|(stream, _)| (stream, self.usage.peer()))
    }

    pub(super) fn moved(self) -> io::Result<Self> {
        let listener = UnixListener::from_std(self.listener.into_std()?)?;
        Ok(Self { listener, ..self })
    }
}

/// The file of a socket, removed in the end unless it is another one by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|found| id(&found) == self.id) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Nobody can connect before `listen`, and by then the mode is right whatever the process' umask is.
fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // On Linux the file is made with the mode of the socket, less the umask.
    let socket = File::from(OwnedFd::from(socket));
    socket.set_permissions(Permissions::from_mode(mode))?;
    let socket = socket2::Socket::from(OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path)?)?;
    let made = path.symlink_metadata()?;
    let file = SocketFile { path: path.to_owned(), id: id(&made) };
    if made.mode() & 0o777 != mode {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from_std(OwnedFd::from(socket).into())?;
    Ok((listener, file))
}

#[derive(Debug, PartialEq, Eq)]
enum Occupied {
    /// Nothing is there.
    No,
    /// A socket that nobody listens on, as a worker that was killed leaves one.
    Stale,
}

/// What is at `path`.
///
/// # Errors
/// Somebody listens there, or it isn't a socket.
fn occupied(path: &Path) -> Result<Occupied, String> {
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Occupied::No),
        Err(error) => return Err(reason(path, &error)),
        Ok(found) => found,
    };
    if !found.file_type().is_socket() {
        return Err("something else than a socket is there, which is left alone; remove it".to_owned());
    }
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|error| error.to_string())?;
    // A full backlog would have it wait.
    probe.set_nonblocking(true).map_err(|error| error.to_string())?;
    match probe.connect(&SockAddr::unix(path).map_err(|error| error.to_string())?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Occupied::Stale),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(format!("a socket of user {} is there", found.uid()))
        }
        _ => Err(IN_USE.to_owned()),
    }
}

const IN_USE: &str = "another process listens there";

fn reason(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no folder {}", folder.display()),
        io::ErrorKind::PermissionDenied => format!("this user may make no file in {}", folder.display()),
        io::ErrorKind::AddrInUse => IN_USE.to_owned(),
        _ => error.to_string(),
    }
}

/// Whether [`Socket::bind`] could have the path, where another worker may be listening.
#[cfg(feature = "cli")]
pub(super) fn check(path: &Path, usage: Use) -> Result<(), BindError> {
    let checked = match occupied(path) {
        Err(problem) if problem != IN_USE => Err(problem),
        _ => may_make_files(path),
    };
    checked.map_err(|problem| usage.error(path, problem))
}

#[cfg(all(feature = "cli", target_os = "linux"))]
fn may_make_files(path: &Path) -> Result<(), String> {
    use rustix::fs::{Access, access};

    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| reason(path, &error.into()))
}

#[cfg(all(feature = "cli", not(target_os = "linux")))]
fn may_make_files(_: &Path) -> Result<(), String> {
    Ok(())
}
