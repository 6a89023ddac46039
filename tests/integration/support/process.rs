//! A child process that does not outlive its test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::eventually;

/// A signal, as `kill -s` calls it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Term,
    Int,
    Quit,
    Kill,
    Stop,
    Continue,
    HangUp,
    User1,
    User2,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::HangUp => "HUP",
            Self::User1 => "USR1",
            Self::User2 => "USR2",
        }
    }
}

/// A running child. Killed when dropped; its output is shown if the test fails.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command` with its output, both kinds, in the file `output`.
    pub(crate) fn start(name: &str, command: Command, output: PathBuf) -> Self {
        let stdout = Self::open(&output).into();
        Self::start_with_stdout(name, command, stdout, output)
    }

    /// Starts `command` with its standard output going elsewhere, and its errors in the file `output`.
    pub(crate) fn start_with_stdout(name: &str, mut command: Command, stdout: Stdio, output: PathBuf) -> Self {
        let errors = Self::open(&output);
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(errors).spawn().unwrap_or_else(|error| {
            panic!("{name} ({command:?}) doesn't start: {error}; run scripts/install-packages.sh")
        });
        Self { name: name.to_owned(), child, output }
    }

    fn open(output: &Path) -> File {
        File::options().create(true).append(true).open(output).expect("a file for the output")
    }

    /// Everything it has written.
    pub(crate) fn output(&self) -> String {
        read(&self.output)
    }

    /// What the system calls it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, once it has ended.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child that can be waited for")
    }

    /// Sends a signal. One that has ended already is left alone.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.status().is_none() {
            let sent = Command::new("kill").args(["-s", signal.name(), &self.child.id().to_string()]).status();
            assert!(sent.expect("`kill`, of util-linux or procps").success(), "{} could not be signalled", self.name);
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        eventually(limit, &what, async || self.status().ok_or("it is still running")).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither fails unless the process has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("---- last output of {} ----\n{}\n----", self.name, last.join("\n"));
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
