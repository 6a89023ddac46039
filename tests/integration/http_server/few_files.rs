//! A worker that may open few files, as `ulimit -n` makes it.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use super::client::get;
use super::server::sample_of;
use crate::support::worker::binary;
use crate::support::{LONG, eventually, free_port, http};

/// Ends with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn more_connections_than_the_process_may_have_files_keep_out_no_probe() {
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listen = address.to_string();
    let run = binary(&["run", "--store", "sqlite:db", "--listen", &listen, "--admin-socket", "off", "--log", "error"]);
    let mut limited = Command::new("prlimit");
    limited.arg("--nofile=64:64").arg(run.get_program()).args(run.get_args()).current_dir(folder.path()).env_clear();
    let _worker = Child(limited.stdin(Stdio::null()).spawn().expect("prlimit, of util-linux"));
    eventually(LONG, "the worker is ready", async || match http::get(address, "/readyz", &[]) {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let _crowd: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let metrics = get(address, "/metrics", &[]).text();
    let made_room = sample_of(&metrics, "fulfillment_http_connections_closed_total{reason=\"made_room_waiting\"}");
    assert_ne!(made_room, "0", "they were waited for");
    for path in ["/livez", "/readyz", "/metrics"].repeat(10) {
        assert_eq!(get(address, path, &[]).status, 200, "{path}");
    }
}
