//! Files that change while the worker runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::certificates::signed;
use super::{Folder, TLS, curl, users};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const IN_FORCE: &str = "fulfillment_web_config_last_reload_successful";

fn status(worker: &WorkerProcess, user: &str) -> u16 {
    curl("http", worker.address(), "/metrics", &["--user", user]).status
}

/// Waits until the file has been reloaded so often. Whoever asked as a user who is not there yet would be limited.
async fn reloaded(worker: &WorkerProcess, times: usize) {
    eventually(LONG, "the change is in force", async || {
        expect_equal(worker.output().matches("has changed and is in force").count(), times)
    })
    .await;
}

fn in_force(worker: &WorkerProcess, user: &str) -> String {
    let scraped = curl("http", worker.address(), "/metrics", &["--user", &format!("{user}:{user}'s")]);
    let line = scraped.text.lines().find_map(|line| line.strip_prefix(IN_FORCE).map(str::trim).map(str::to_owned));
    line.unwrap_or(scraped.text)
}

/// Caught, when seeded: a reload that forgets the operators.
#[tokio::test]
async fn users_come_and_go_with_the_file() {
    let folder = Folder::with(&users(&["ann", "bob"]));
    let worker = folder.answering(&["--operators", "bob", "--log", "info"]).await;
    assert_eq!([status(&worker, "ann:ann's"), status(&worker, "eve:eve's")], [200, 401]);
    folder.write("web.yml", &users(&["eve", "bob"]));
    reloaded(&worker, 1).await;
    assert_eq!([status(&worker, "eve:eve's"), status(&worker, "ann:ann's")], [200, 401]);
    let change = ["--user", "bob:bob's", "--request", "PUT", "--data", "info"];
    assert_eq!(curl("http", worker.address(), "/log", &change).status, 200, "bob is an operator still");

    folder.write("web.yml", &users(&["eve"]));
    eventually(LONG, "a warning by name", async || {
        let output = worker.output();
        if output.contains("--operators: `bob` is no user any more") { Ok(()) } else { Err(output) }
    })
    .await;
    assert_eq!(curl("http", worker.address(), "/log", &change).status, 401);
}

/// Caught, when seeded: a file without users that lets everybody look.
#[tokio::test]
async fn a_version_that_can_not_be_used_leaves_the_former_one_in_force_and_is_told_once() {
    let folder = Folder::with(&users(&["ann"]));
    let worker = folder.answering(&[]).await;
    assert_eq!(in_force(&worker, "ann"), "1");
    let mut errors = 0;
    for bad in ["basic_auth_users:\n  ann: hush\n", "junk: [\n", "", &format!("{TLS}{}", users(&["ann"]))] {
        folder.write("web.yml", bad);
        errors += 1;
        eventually(LONG, "an error", async || {
            let output = worker.output();
            expect_equal(output.matches("can't be used; the former one stays in force").count(), errors)
                .map_err(|error| format!("{bad}: {error}: {output}"))
        })
        .await;
        assert_eq!(in_force(&worker, "ann"), "0", "{bad}");
        assert_eq!(status(&worker, "eve:eve's"), 401, "{bad}");
    }
    std::fs::remove_file(folder.path("web.yml")).expect("the file goes");
    eventually(LONG, "one more error", async || {
        expect_equal(worker.output().matches("can't be used; the former one stays").count(), errors + 1)
    })
    .await;
    folder.write("web.yml", &users(&["eve", "ann"]));
    reloaded(&worker, 1).await;
    assert_eq!(status(&worker, "eve:eve's"), 200);
    assert_eq!(in_force(&worker, "ann"), "1");
    let output = worker.output();
    assert_eq!(output.matches("can't be used; the former one stays in force").count(), errors + 1, "{output}");
    assert!(!output.contains("hush"), "{output}");
}

#[tokio::test]
async fn a_file_that_is_cut_off_lets_nobody_in_without_a_certificate() {
    let policy = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let folder = Folder::with_certificates(&format!("{TLS}{policy}"));
    let worker = folder.answering(&[]).await;
    folder.write("web.yml", TLS);
    eventually(LONG, "an error", async || {
        let output = worker.output();
        if output.contains("clients need no certificate any more, which takes a restart") {
            Ok(())
        } else {
            Err(output)
        }
    })
    .await;
    let ca = folder.file("ca.crt");
    assert_eq!(curl("https", worker.address(), "/livez", &["--cacert", &ca]).status, 0);
}

/// Caught, when seeded: a certificate that is read at the start only.
#[tokio::test]
async fn a_new_certificate_is_served_to_new_connections_while_requests_go_on() {
    let folder = Folder::with_certificates(TLS);
    let worker = folder.answering(&[]).await;
    let (ca, address) = (folder.file("ca.crt"), worker.address());
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (stop, answered, ca) = (Arc::clone(&stop), Arc::clone(&answered), ca.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let answer = curl("https", address, "/livez", &["--cacert", &ca]);
                assert_eq!(answer.status, 200, "{}", answer.error);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let serial = || {
        let verbose = curl("https", address, "/livez", &["--cacert", &ca, "--verbose"]).error;
        let subject = verbose.lines().find(|line| line.contains("subject:")).map(str::trim).map(str::to_owned);
        subject.unwrap_or(verbose)
    };
    assert!(serial().contains("CN=server"), "{}", serial());
    // Certificate and key one after the other: for a moment they don't fit.
    signed(&folder.path(""), "renewed", "ca", "subjectAltName=IP:127.0.0.1\n");
    std::fs::rename(folder.path("renewed.crt"), folder.path("server.crt")).expect("the certificate");
    std::fs::rename(folder.path("renewed.key"), folder.path("server.key")).expect("the key");
    eventually(LONG, "the new certificate", async || {
        let serial = serial();
        if serial.contains("CN=renewed") { Ok(()) } else { Err(serial) }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    load.join().expect("every request was answered");
    assert!(answered.load(Ordering::Relaxed) > 0);
}
