//! `rediss://`: TLS by rustls, trusting what the system trusts.

use std::path::Path;
use std::process::Command;

use fulfillment_worker::queue::{Held, Queue};

use crate::server::{KEY, Server, acks, push, queue};
use crate::support::{LONG, free_port};

/// Tells the inner test, which runs as a process of its own, where to connect.
const URL: &str = "TLS_TEST_REDIS_URL";

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority of the test's own, and a certificate of it for 127.0.0.1.
fn make_certificates(folder: &Path) {
    let days = ["-days", "2", "-nodes", "-newkey", "rsa:2048"];
    openssl(
        folder,
        &[&["req", "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority"], &days[..]].concat(),
    );
    let request =
        ["req", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=redis", "-nodes", "-newkey", "rsa:2048"];
    openssl(folder, &request);
    std::fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "server.ext",
            "-out",
            "server.crt",
        ],
    );
}

#[tokio::test]
async fn a_queue_behind_tls_works_and_an_unknown_authority_is_not_trusted() {
    let certificates = tempfile::tempdir().expect("a folder for certificates");
    make_certificates(certificates.path());
    let file = |name: &str| certificates.path().join(name).display().to_string();
    let port = free_port();
    let _server = Server::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file("server.crt"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.crt"),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let url = format!("rediss://127.0.0.1:{port}");

    let error = queue(&url, KEY, LONG).unwrap().depth().await.expect_err("an untrusted certificate");
    assert!(error.to_string().contains("certificate"), "{error}");

    // The system's trust is read from the environment, which a test must not change for its neighbours.
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "tls::inner", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", file("ca.crt"))
        .env(URL, &url)
        .output()
        .expect("this test as a process of its own");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

#[tokio::test]
#[ignore = "run by the test above, with its server and trust"]
async fn inner() {
    let queue = queue(&std::env::var(URL).expect(URL), KEY, LONG).unwrap();
    push(&queue, &["one"]).await.unwrap();
    let claims = queue.claim(1).await.unwrap().claims;
    assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [Held::Yes]);
}
