//! The real binary.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use tempfile::TempDir;

use super::http::{self, Answer};
use super::metrics::Metrics;
use super::process::{Process, Signal};
use super::version::Version;
use super::{LONG, eventually, free_port};

/// Names a bug that the binary is to have, so that any test can show that it would notice; see `tests/integration/mutants`.
const MUTANT: &str = "FULFILLMENT_MUTANT";

/// The binary with `arguments`, free of any configuration in this environment.
pub(crate) fn binary(arguments: &[&str]) -> Command {
    binary_of(Version::This, arguments)
}

/// The same of a version.
pub(crate) fn binary_of(version: Version, arguments: &[&str]) -> Command {
    let mut command = Command::new(version.program());
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    if let Some(mutant) = std::env::var_os(MUTANT).filter(|_| version == Version::This) {
        if cfg!(not(feature = "faults")) {
            panic!("{MUTANT} is set: run this with --features faults");
        }
        command.env(MUTANT, mutant);
    }
    command
}

/// Runs a command that ends by itself, in an empty folder.
pub(crate) fn run_to_end(arguments: &[&str]) -> Output {
    run_to_end_of(Version::This, arguments)
}

/// The same of a version.
pub(crate) fn run_to_end_of(version: Version, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder for the command");
    binary_of(version, arguments).current_dir(folder.path()).output().expect("the binary starts")
}

/// `fulfillment-worker run` as a process.
pub(crate) struct WorkerProcess {
    process: Process,
    address: SocketAddr,
    version: Version,
    _folder: TempDir,
}

impl WorkerProcess {
    /// Starts a worker on a free port; `options` are added to the command line. Returns at once.
    pub(crate) fn start(queue: &str, store: &str, options: &[&str]) -> Self {
        Self::start_with(queue, store, options, &[])
    }

    /// Starts one with variables in its environment.
    pub(crate) fn start_with(queue: &str, store: &str, options: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::configured(&[&["--queue", queue, "--store", store], options].concat(), environment)
    }

    /// Starts one of a version.
    pub(crate) fn start_of(
        version: Version,
        queue: &str,
        store: &str,
        options: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self::of(version, address, &[&["--queue", queue, "--store", store], options].concat(), environment)
    }

    /// Starts one where another has been.
    pub(crate) fn start_at(address: SocketAddr, queue: &str, store: &str, options: &[&str]) -> Self {
        Self::at(address, &[&["--queue", queue, "--store", store], options].concat(), &[])
    }

    /// Starts one whose queue and store are in `options` or `environment`.
    pub(crate) fn configured(options: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], free_port())), options, environment)
    }

    fn at(address: SocketAddr, options: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::of(Version::This, address, options, environment)
    }

    fn of(version: Version, address: SocketAddr, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the worker");
        let listen = address.to_string();
        let mut command = binary_of(version, &["run", "--listen", &listen]);
        command.args(["--log-format", "json"]).args(options).current_dir(folder.path());
        command.envs(environment.iter().copied());
        let process = Process::start("fulfillment-worker", command, folder.path().join("output.log"));
        Self { process, address, version, _folder: folder }
    }

    /// Starts a worker and waits until it is ready.
    pub(crate) async fn ready(queue: &str, store: &str, options: &[&str]) -> Self {
        let mut worker = Self::start(queue, store, options);
        worker.wait_until_ready().await;
        worker
    }

    /// Waits for readiness; fails at once when the process has ended.
    pub(crate) async fn wait_until_ready(&mut self) {
        eventually(LONG, "the worker is ready", async || {
            assert!(self.process.status().is_none(), "the worker has ended: {:?}", self.process.status());
            self.answers("/readyz", 200)
        })
        .await;
    }

    /// For [`eventually`]: whether `path` is answered with this status.
    pub(crate) fn answers(&self, path: &str, status: u16) -> Result<(), String> {
        match http::get(self.address, path, &[]) {
            Ok(answer) if answer.status == status => Ok(()),
            Ok(answer) => Err(format!("{path} answers {}: {}", answer.status, answer.text())),
            Err(error) => Err(format!("{path}: {error}")),
        }
    }

    /// Which release it is of.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// GETs a path.
    ///
    /// # Panics
    /// When nothing answers.
    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        http::get(self.address, path, headers).unwrap_or_else(|error| panic!("{path} is not answered: {error}"))
    }

    /// Scrapes it.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics", &[]).text())
    }

    /// What the system calls it.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its exit status, once it has ended.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.process.status()
    }

    /// Everything it has logged.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// Sends a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it without any warning, as the kernel does when memory runs out.
    pub(crate) async fn kill(&mut self) {
        self.process.signal(Signal::Kill);
        self.process.ended(LONG).await;
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        self.process.ended(limit).await
    }
}

/// Path of a file in `tests/data`.
pub(crate) fn test_data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string()
}
