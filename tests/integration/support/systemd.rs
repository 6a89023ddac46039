//! What systemd is to a unit of `Type=notify`: a socket for datagrams, whose name is in the environment.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tempfile::TempDir;

/// Takes down what it is told, with the time, until it is dropped.
pub(crate) struct ServiceManager {
    name: String,
    told: Arc<Mutex<Vec<(Instant, String)>>>,
    _folder: TempDir,
}

impl ServiceManager {
    /// One whose socket is a file.
    pub(crate) fn at_a_path() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Self::listen(path.display().to_string(), socket, folder)
    }

    /// One whose socket has a name without a file.
    pub(crate) fn with_an_abstract_name() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().display().to_string();
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        Self::listen(format!("@{name}"), socket, folder)
    }

    fn listen(name: String, socket: UnixDatagram, folder: TempDir) -> Self {
        let told = Arc::<Mutex<Vec<(Instant, String)>>>::default();
        let taken = Arc::downgrade(&told);
        socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a limit");
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Some(taken) = taken.upgrade() {
                if let Ok(length) = socket.recv(&mut buffer) {
                    let message = String::from_utf8_lossy(&buffer[..length]);
                    taken.lock().extend(message.lines().map(|line| (Instant::now(), line.to_owned())));
                }
            }
        });
        Self { name, told, _folder: folder }
    }

    /// For the variable `NOTIFY_SOCKET`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.told.lock().iter().map(|(_, line)| line.clone()).collect()
    }

    /// When a line came, each time.
    pub(crate) fn times(&self, line: &str) -> Vec<Instant> {
        self.told.lock().iter().filter(|(_, told)| told == line).map(|(at, _)| *at).collect()
    }

    /// For [`super::eventually`]: whether it has been told this.
    pub(crate) fn was_told(&self, line: &str) -> Result<(), String> {
        let lines = self.lines();
        if lines.iter().any(|told| told == line) { Ok(()) } else { Err(format!("{lines:?}")) }
    }
}
