//! Who may read the files that are written, and what they may take the place of. Needs no server.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::support::process::{Process, Signal};
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal, free_port};

/// Read, write and run, for all.
fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// A command in a folder, with a mask that takes nothing away, so that nothing but the program says what others may do.
fn with_no_mask(folder: &Path, arguments: &[&str]) -> Command {
    let binary = binary(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec $LIMITED \"$0\" \"$@\""]).arg(binary.get_program()).args(binary.get_args());
    command.current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    // What should refuse, and goes on, is ended.
    with_no_mask(folder, arguments).env("LIMITED", "timeout 60").output().expect("the binary starts")
}

/// Orders, the second one invalid and a formula.
const ORDERS: &str = "product,quantity\nCup,1\n=1+1,-2\n";
const REJECTED: &str = "product,quantity,reason\n=1+1,-2,\"";

fn reject(folder: &Path, file: &str, more: &[&str]) -> Output {
    let submit =
        ["submit", "orders.csv", "--store", "sqlite:orders.db", "--dry-run", "--skip-invalid", "--rejects", file];
    run(folder, &[&submit, more].concat())
}

fn folder_with_orders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("orders.csv"), ORDERS).expect("a file");
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

#[test]
fn a_file_of_rejects_is_for_its_owner_alone() {
    let folder = folder_with_orders();
    let done = reject(folder.path(), "r.csv", &[]);
    assert!(done.status.success(), "{done:?}");
    let file = folder.path().join("r.csv");
    assert_eq!(mode(&file), 0o600);
    assert!(fs::read_to_string(&file).expect("the file").starts_with(REJECTED));
    assert_eq!(names(folder.path()), ["orders.csv", "r.csv"]);
}

/// Caught, when seeded: a file that is opened and emptied, and with it what a link leads to.
#[test]
fn a_file_of_rejects_takes_the_place_of_nothing_unless_forced_and_then_not_of_what_a_link_leads_to() {
    let folder = folder_with_orders();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("precious"), "precious").expect("a file");
    fs::write(at("there"), "there").expect("a file");
    symlink("precious", at("link")).expect("a link");
    symlink("nowhere", at("dangling")).expect("a link");
    fs::hard_link(at("precious"), at("twin")).expect("a second name");
    assert!(Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo").success());
    for name in ["there", "link", "dangling", "twin", "pipe"] {
        let refused = reject(folder.path(), name, &[]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{name}: {said}");
        assert_eq!(said, format!("error: --rejects: {name} exists; name another file, or replace it with --force\n"));
    }
    assert_eq!(fs::read_to_string(at("there")).expect("the file"), "there");
    for name in ["there", "link", "dangling", "twin", "pipe"] {
        let done = reject(folder.path(), name, &["--force"]);
        assert!(done.status.success(), "{name}: {done:?}");
        assert!(at(name).symlink_metadata().expect("it is there").is_file(), "{name}");
        assert_eq!(mode(&at(name)), 0o600, "{name}");
        assert!(fs::read_to_string(at(name)).expect("the file").starts_with(REJECTED), "{name}");
    }
    assert_eq!(fs::read_to_string(at("precious")).expect("the file"), "precious");
    assert!(!at("nowhere").exists());
}

#[test]
fn rejects_go_to_a_device_as_they_come() {
    let folder = folder_with_orders();
    for (device, stream) in [("/dev/stderr", 2), ("/dev/stdout", 1), ("/dev/fd/1", 1), ("/dev/null", 0)] {
        let done = reject(folder.path(), device, &[]);
        assert!(done.status.success(), "{device}: {done:?}");
        let shown =
            [b"".as_slice(), &done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(shown[stream].contains(REJECTED), stream > 0, "{device}: {shown:?}");
    }
    assert!(Path::new("/dev/null").symlink_metadata().expect("the device").mode() & 0o170_000 == 0o020_000);
}

/// The file of standard output isn't emptied: it may be a log that others write to.
#[test]
fn a_device_that_leads_to_a_file_is_added_to() {
    let folder = folder_with_orders();
    let log = folder.path().join("log");
    fs::write(&log, "before\n").expect("a file");
    let mut command = binary(&["submit", "orders.csv", "--store", "sqlite:orders.db", "--dry-run", "--skip-invalid"]);
    command.args(["--rejects", "/dev/stdout"]).current_dir(folder.path());
    let out = fs::OpenOptions::new().append(true).open(&log).expect("the file");
    assert!(command.stdout(out).status().expect("the binary starts").success());
    let written = fs::read_to_string(&log).expect("the file");
    assert!(
        written.starts_with("before\n") && written.contains(REJECTED) && written.contains("would submit"),
        "{written}"
    );
}

#[test]
fn formulas_in_rejects_become_text_when_asked_and_else_stay_so_that_the_file_can_be_submitted_again() {
    let folder = folder_with_orders();
    let done = reject(folder.path(), "r.csv", &["--escape-formulas"]);
    assert!(done.status.success(), "{done:?}");
    let text = fs::read_to_string(folder.path().join("r.csv")).expect("the file");
    assert!(
        text.starts_with("product,quantity,reason\n") || text.starts_with("\"product\",\"quantity\",reason\n"),
        "{text}"
    );
    assert!(text.contains("\n\"'=1+1\",\"'-2\",\""), "{text}");

    assert!(reject(folder.path(), "again.csv", &[]).status.success());
    let fixed = fs::read_to_string(folder.path().join("again.csv")).expect("the file").replace("-2", "2");
    fs::write(folder.path().join("again.csv"), fixed).expect("the file");
    let again = run(folder.path(), &["submit", "again.csv", "--store", "sqlite:orders.db"]);
    assert!(again.status.success(), "{again:?}");
    let order = run(folder.path(), &["order", "1", "--store", "sqlite:orders.db"]);
    assert!(String::from_utf8_lossy(&order.stdout).contains("=1+1"), "{order:?}");
}

#[test]
fn force_and_escape_formulas_need_a_file_of_rejects() {
    for option in ["--force", "--escape-formulas"] {
        let folder = folder_with_orders();
        let refused = run(folder.path(), &["submit", "orders.csv", option]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("--rejects"), "{refused:?}");
    }
}

/// Caught, when seeded: a file that SQLite makes itself, 0644 with this mask.
#[tokio::test]
async fn an_embedded_database_and_what_sqlite_puts_beside_it_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    symlink("real.db", folder.path().join("link.db")).expect("a link to what isn't there yet");
    for (name, file) in [("orders.db", "orders.db"), ("link.db", "real.db")] {
        let store = format!("sqlite:{name}");
        let listen = format!("127.0.0.1:{}", free_port());
        let command = with_no_mask(folder.path(), &["run", "--store", &store, "--queue", &store, "--listen", &listen]);
        let mut worker = Process::start("fulfillment-worker", command, folder.path().join("output.log"));
        for beside in ["", "-wal", "-shm"] {
            let file = folder.path().join(format!("{file}{beside}"));
            eventually(LONG, "the file is there", async || if file.exists() { Ok(()) } else { Err(worker.output()) })
                .await;
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        worker.signal(Signal::Term);
        assert!(worker.ended(LONG).await.success(), "{}", worker.output());
    }
    assert!(folder.path().join("link.db").symlink_metadata().expect("the link").is_symlink());
}

#[tokio::test]
async fn a_database_that_everybody_may_read_stays_so_and_the_worker_says_so_once() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = format!("sqlite:{}", path.display());
    assert!(run(folder.path(), &["migrate", "--store", &store]).status.success());
    for (set, warned) in [(0o644, 1), (0o660, 0)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(set)).expect("rights");
        let worker = WorkerProcess::ready(&store, &store, &[]).await;
        let said = worker.output().matches("every user of this machine has access to the embedded database").count();
        assert_eq!(said, warned, "{set:o}: {}", worker.output());
        assert_eq!(mode(&path), set);
    }
}

#[tokio::test]
async fn the_folder_of_the_demo_and_all_that_is_in_it_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = with_no_mask(folder.path(), &["demo", "--listen", &listen, "--rate", "20"]);
    command.env("TMPDIR", folder.path());
    let mut demo = Process::start("demo", command, folder.path().join("output.log"));
    let of_demo = eventually(LONG, "the demo has its folder and writes", async || {
        let found = names(folder.path()).into_iter().find(|name| name.starts_with("demo-"));
        let found = found.map(|name| folder.path().join(name)).filter(|path| path.join("db-wal").exists());
        found.ok_or_else(|| demo.output())
    })
    .await;
    assert_eq!(mode(&of_demo), 0o700);
    for name in names(&of_demo) {
        assert_eq!(mode(&of_demo.join(&name)), 0o600, "{name}");
    }
    demo.signal(Signal::Int);
    assert!(demo.ended(LONG).await.success());
    expect_equal(of_demo.exists(), false).expect("nothing is left");
}

/// Caught, when seeded: an end without a line end that is cut off whatever it is, and a mode of 0666.
#[tokio::test]
async fn a_warehouses_record_is_for_its_owner_alone_and_takes_the_place_of_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let warehouse = ["warehouse", "--listen", "127.0.0.1:0", "--record"];
    for precious in ["precious", "one\ntwo", "{\"at\": 1}", "{\"at_microseconds\": 1}\n"] {
        let file = folder.path().join("precious");
        fs::write(&file, precious).expect("a file");
        let refused = run(folder.path(), &[&warehouse[..], &["precious"]].concat());
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("not a line of a warehouse"), "{said}");
        assert_eq!(fs::read_to_string(&file).expect("the file"), precious);
    }
    let command = with_no_mask(folder.path(), &[&warehouse[..], &["calls.jsonl"]].concat());
    let running = Process::start("warehouse", command, folder.path().join("output.log"));
    let record = folder.path().join("calls.jsonl");
    eventually(LONG, "the record", async || if record.exists() { Ok(()) } else { Err(running.output()) }).await;
    assert_eq!(mode(&record), 0o600);
}
