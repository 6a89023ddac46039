//! A system that refuses threads, as `ulimit -u` or a container's limit of pids makes it. Needs no server.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support::worker::binary;
use crate::support::{LONG, free_port, http};

/// Nobody has this user, so it has no other threads.
const USER: u32 = 54_321;

/// `arguments` with at most so many threads. Root has no such limit, and becomes another user; anybody else has more threads
/// than these already.
fn limited(threads: usize, folder: &std::path::Path, arguments: &[&str]) -> Command {
    let plain = binary(arguments);
    let mut command = Command::new("prlimit");
    command.arg(format!("--nproc={threads}"));
    let id = Command::new("id").arg("-u").output().expect("`id -u`").stdout;
    if id.trim_ascii() == b"0" {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).expect("a folder for everybody");
        let mut as_user = Command::new("setpriv");
        as_user.args([format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()]);
        as_user.args(["prlimit".to_owned(), format!("--nproc={threads}")]);
        command = as_user;
    }
    command.arg(plain.get_program()).args(plain.get_args()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(folder).stdin(Stdio::null());
    command
}

/// Caught on the code before: a panic in tokio, one in the exporter of traces.
#[test]
fn a_worker_that_gets_no_thread_says_so_in_one_line_and_ends_with_1_wherever_it_runs_out_of_them() {
    let (mut refused, mut started) = (0, 0);
    for threads in 1..60 {
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let listen = address.to_string();
        let run = ["run", "--store", "sqlite:db", "--listen", &listen, "--log", "error"];
        let mut command = limited(threads, folder.path(), &run);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").stderr(Stdio::piped());
        let mut child = command.spawn().expect("prlimit and setpriv, of util-linux");
        let began = Instant::now();
        let ended = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break Some(status);
            }
            if http::get(address, "/readyz", &[]).is_ok_and(|answer| answer.status == 200) {
                break None;
            }
            assert!(began.elapsed() < LONG, "with {threads} threads it neither starts nor ends");
            std::thread::yield_now();
        };
        let _ = child.kill();
        let output = child.wait_with_output().expect("its output");
        let told = String::from_utf8_lossy(&output.stderr);
        match ended {
            Some(status) => {
                refused += 1;
                assert_eq!(status.code(), Some(1), "with {threads} threads: {told}");
                assert_eq!(told.lines().count(), 1, "with {threads} threads: {told}");
                assert!(told.starts_with("error: ") && told.contains("raise its limit"), "{threads}: {told}");
            }
            None => {
                started += 1;
                assert_eq!(told, "", "with {threads} threads");
            }
        }
        if started == 3 {
            break;
        }
    }
    assert!(refused > 3, "only {refused} limits were too low");
}
