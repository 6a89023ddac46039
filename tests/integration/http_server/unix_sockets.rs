//! Unix sockets of `--listen`, and the admin socket, with the real binary and an embedded database.

use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Output;

use fulfillment_worker::admin::{Listener, open};
use fulfillment_worker::config::ListenAddress;
use tempfile::TempDir;

use crate::support::process::{Process, Signal};
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, free_port};

const EMBEDDED: &str = "sqlite:socket.db";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn listen(path: &Path) -> Result<Vec<Listener>, String> {
    open(&[ListenAddress::Unix(path.to_owned())]).await.map_err(|error| error.to_string())
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

/// The answer to `GET path`.
fn ask(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn a_socket_of_listen_is_for_user_and_group_and_gone_in_the_end() {
    let folder = folder();
    let path = folder.path().join("x.sock");
    let listeners = listen(&path).await.unwrap();
    assert_eq!(mode(&path), 0o660);
    drop(listeners);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_a_killed_worker_left_is_replaced_and_one_in_use_is_not() {
    let folder = folder();
    let path = folder.path().join("x.sock");
    drop(UnixListener::bind(&path).unwrap());
    let listeners = listen(&path).await.unwrap();
    let refused = listen(&path).await.unwrap_err();
    assert_eq!(
        refused,
        format!(
            "cannot listen on unix:{}: another process listens there; choose another with --listen unix:PATH",
            path.display()
        )
    );
    assert!(path.exists());
    drop(listeners);
}

/// Caught, when seeded: whatever is at the path is removed.
#[tokio::test]
async fn a_file_a_folder_or_a_link_at_the_path_is_left_alone_and_named() {
    let place = folder();
    let [file, directory, link] = ["file", "folder", "link"].map(|name| place.path().join(name));
    std::fs::write(&file, "precious").unwrap();
    std::fs::create_dir(&directory).unwrap();
    symlink(&file, &link).unwrap();
    for path in [&file, &directory, &link] {
        let refused = listen(path).await.unwrap_err();
        assert!(refused.contains("something else than a socket is there"), "{refused}");
        assert!(refused.contains(&path.display().to_string()), "{refused}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let refused = listen(&place.path().join("none/x.sock")).await.unwrap_err();
    assert!(refused.contains("there is no folder"), "{refused}");
}

#[tokio::test]
async fn a_socket_that_somebody_else_has_put_in_its_place_stays() {
    let folder = folder();
    let path = folder.path().join("x.sock");
    let listeners = listen(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let _another = UnixListener::bind(&path).unwrap();
    drop(listeners);
    assert!(path.exists());
}

/// A worker whose folder for sockets is `runtime`.
async fn worker(runtime: &Path, options: &[&str]) -> WorkerProcess {
    let variables = [("XDG_RUNTIME_DIR", runtime.to_str().unwrap())];
    let mut worker = WorkerProcess::start_with(EMBEDDED, EMBEDDED, options, &variables);
    worker.wait_until_ready().await;
    worker
}

/// A command about this worker, whose folder for sockets is `runtime`.
fn command(worker: &WorkerProcess, runtime: &Path, arguments: &[&str]) -> Output {
    let listen = worker.address().to_string();
    let mut command = binary(arguments);
    command.args(["--listen", &listen]).env("XDG_RUNTIME_DIR", runtime).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_worker_listens_on_several_addresses_at_once_and_stops_on_all() {
    let place = folder();
    let socket = place.path().join("page.sock");
    let unix = format!("unix:{}", socket.display());
    let mut worker = worker(place.path(), &["--listen", &unix]).await;
    assert!(ask(&socket, "/livez").starts_with("HTTP/1.0 200"));
    assert!(worker.output().contains(&format!("{}/metrics {unix}", worker.address())), "{}", worker.output());
    let url = format!("{unix}:/livez");
    let output = binary(&["healthcheck", "--url", &url]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    worker.signal(Signal::Term);
    worker.ended(LONG).await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn log_and_healthcheck_find_the_admin_socket_without_being_told() {
    let place = folder();
    let worker = worker(place.path(), &[]).await;
    let folder = place.path().join("fulfillment-worker");
    let socket = folder.join(format!("admin-127.0.0.1-{}.sock", worker.address().port()));
    assert_eq!((mode(&folder), mode(&socket)), (0o700, 0o600));
    let changed = command(&worker, place.path(), &["log", "debug"]);
    assert_eq!(text(&changed), "debug (PUT /log by the admin socket)\n");
    let health = command(&worker, place.path(), &["healthcheck"]);
    assert_eq!((health.status.code(), text(&health).as_str()), (Some(0), "ok\n"));
}

#[tokio::test]
async fn readiness_can_be_asked_for_without_a_url() {
    let place = folder();
    let worker = worker(place.path(), &[]).await;
    let ready = command(&worker, place.path(), &["healthcheck", "--ready"]);
    assert_eq!(ready.status.code(), Some(0), "{}", text(&ready));
    assert!(text(&ready).contains("\"ready\":true"), "{}", text(&ready));
}

/// Caught, when seeded: no limit but that of the whole connection.
#[tokio::test]
async fn a_body_that_does_not_come_ends_its_request_after_seconds() {
    let place = folder();
    let worker = worker(place.path(), &[]).await;
    let socket = place.path().join(format!("fulfillment-worker/admin-127.0.0.1-{}.sock", worker.address().port()));
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"PUT /log HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nwar").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with("the body has not come within 5 s\n"), "{answer}");
}

#[tokio::test]
async fn without_an_admin_socket_the_address_of_listen_is_asked() {
    let place = folder();
    let worker = worker(place.path(), &["--admin-socket", "off"]).await;
    assert!(!place.path().join("fulfillment-worker").exists());
    let health = command(&worker, place.path(), &["healthcheck"]);
    assert_eq!((health.status.code(), text(&health).as_str()), (Some(0), "ok\n"));
}

/// Caught, when seeded: whoever answers on a socket of that name is trusted.
#[tokio::test]
async fn a_socket_in_a_folder_that_others_can_write_is_not_asked_and_the_error_says_so() {
    let place = folder();
    let planted = place.path().join("fulfillment-worker");
    std::fs::create_dir(&planted).unwrap();
    std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o777)).unwrap();
    let port = free_port();
    let listener = UnixListener::bind(planted.join(format!("admin-127.0.0.1-{port}.sock"))).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listen = format!("127.0.0.1:{port}");
    let mut log = binary(&["log", "off", "--listen", &listen]);
    let output = log.env("XDG_RUNTIME_DIR", place.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("can be written by others (mode 777)"), "{}", text(&output));
    assert!(listener.accept().is_err(), "it was asked");
}

#[tokio::test]
async fn an_admin_socket_at_a_path_is_there_or_the_worker_is_not() {
    let place = folder();
    let socket = place.path().join("a.sock").display().to_string();
    let worker = worker(place.path(), &["--admin-socket", &socket]).await;
    let changed = command(&worker, place.path(), &["log", "warn", "--admin-socket", &socket]);
    assert_eq!(text(&changed), "warn (PUT /log by the admin socket)\n");
    for command in ["run", "config"] {
        let mut refused = binary(&[command, "--store", EMBEDDED, "--listen", "127.0.0.1:0"]);
        let refused = refused.args(["--admin-socket", "/nowhere/a.sock"]).current_dir(place.path()).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        let expected =
            "cannot listen on unix:/nowhere/a.sock: there is no folder /nowhere; choose another with --admin-socket";
        assert!(text(&refused).contains(expected), "{}", text(&refused));
    }
}

/// Caught on the code before: the first worker's log was changed, and once the second was dead, the first answered for it.
#[tokio::test]
async fn a_worker_is_not_asked_for_another_one_with_its_port_on_another_address() {
    let place = folder();
    let first = worker(place.path(), &[]).await;
    let second = format!("127.0.0.2:{}", first.address().port());
    let about_second = |arguments: &[&str]| {
        let mut command = binary(arguments);
        command.args(["--listen", &second]).env("XDG_RUNTIME_DIR", place.path()).current_dir(place.path());
        command
    };
    let log = place.path().join("output.log");
    let mut another = Process::start("second", about_second(&["run", "--store", EMBEDDED]), log);
    let asked = |arguments: &[&str]| about_second(arguments).output().unwrap();
    eventually(LONG, "the second worker is well", async || {
        let health = asked(&["healthcheck"]);
        if health.status.success() { Ok(()) } else { Err(text(&health)) }
    })
    .await;
    assert_eq!(text(&asked(&["log", "debug"])), "debug (PUT /log by the admin socket)\n");
    let of_first = command(&first, place.path(), &["log"]);
    assert!(text(&of_first).starts_with("info "), "{}", text(&of_first));
    another.signal(Signal::Kill);
    another.ended(LONG).await;
    assert_eq!(asked(&["healthcheck"]).status.code(), Some(1));
}
