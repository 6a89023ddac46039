//! Who may look at a worker and who may change it, with the real binary: certificates, users, and files that change. Needs
//! curl, openssl, promtool and Prometheus, and no server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

mod certificates;
mod client_certificates;
mod link;
mod logins;
mod promtool;
mod reload;
mod rights;
mod scraping;
mod slow_clients;
mod start;

use certificates::Certificates;

/// A folder with a web configuration, and the certificates that it may name.
pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    /// One with this web configuration.
    pub(crate) fn with(web_config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Self { folder };
        made.write("web.yml", web_config);
        made
    }

    /// One with certificates beside it.
    pub(crate) fn with_certificates(web_config: &str) -> Self {
        let made = Self::with(web_config);
        Certificates::make(made.path(""));
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// In one step, as whoever changes a file that others read does it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).expect("a file");
        std::fs::rename(self.path("new"), self.path(name)).expect("the file is put in place");
    }

    /// A worker with this web configuration; returns at once.
    pub(crate) fn worker(&self, options: &[&str]) -> WorkerProcess {
        self.worker_of("sqlite:w.db", options)
    }

    fn worker_of(&self, queue: &str, options: &[&str]) -> WorkerProcess {
        let web_config = self.file("web.yml");
        let given = ["--web-config", &web_config, "--simulate-latency", "0"];
        WorkerProcess::start(queue, "sqlite:w.db", &[&given[..], options].concat())
    }

    /// One that answers, with TLS or without.
    pub(crate) async fn answering(&self, options: &[&str]) -> WorkerProcess {
        listening(self.worker(options)).await
    }

    /// The same with another queue.
    pub(crate) async fn answering_with(&self, queue: &str) -> WorkerProcess {
        listening(self.worker_of(queue, &[])).await
    }
}

async fn listening(worker: WorkerProcess) -> WorkerProcess {
    eventually(LONG, "the worker listens", async || std::net::TcpStream::connect(worker.address()).map(drop)).await;
    worker
}

/// The section for TLS with the certificates of a [`Folder`].
pub(crate) const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// What a web configuration has under `basic_auth_users`: each with the password `NAME's`.
pub(crate) fn users(names: &[&str]) -> String {
    users_at(4, names)
}

/// The same, with hashes of this cost.
pub(crate) fn users_at(cost: u32, names: &[&str]) -> String {
    let line = |name: &&str| {
        let hash = bcrypt::hash(format!("{name}'s"), cost).expect("a hash");
        format!("  {name}: {hash}\n")
    };
    format!("basic_auth_users:\n{}", names.iter().map(line).collect::<String>())
}

/// What curl makes of an answer: its status, 0 if there is none, and its text.
pub(crate) struct Curled {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// Of curl.
    pub(crate) error: String,
}

/// Asks for `path` by curl, over TLS or not.
pub(crate) fn curl(scheme: &str, address: SocketAddr, path: &str, options: &[&str]) -> Curled {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*", "--write-out", "\n%{http_code}"])
        .args(options)
        .arg(format!("{scheme}://{address}{path}"))
        .output()
        .expect("curl; run scripts/install-packages.sh curl");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (text, status) = said.rsplit_once('\n').unwrap_or_default();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Curled { status: status.parse().unwrap_or_default(), text: text.to_owned(), error }
}

/// Runs openssl in a folder.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
