//! `rediss://`, and the same with sentinels and a Cluster: TLS by rustls, trusting what the system trusts.

use std::path::Path;
use std::process::Command;

use fulfillment_worker::port::queue::{Queue, QueueReports, ReceiptState};

use crate::redis_queue::replication::{MASTER, Sentinel};
use crate::redis_queue::server::{KEY, Server, acks, push, queue};
use crate::support::again::{again, assert_passed};
use crate::support::{LONG, eventually, free_port};

/// Tells the inner test, which runs as a process of its own, where to connect.
const URL: &str = "TLS_TEST_REDIS_URL";

pub(super) fn openssl(folder: &Path, arguments: &[&str]) {
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

/// A folder with certificates, and the options that make a server speak nothing but TLS with them.
pub(super) struct Certificates {
    pub(super) folder: tempfile::TempDir,
}

impl Certificates {
    pub(super) fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder for certificates");
        make_certificates(folder.path());
        Self { folder }
    }

    pub(super) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(super) fn options(&self) -> [(&'static str, String); 4] {
        [
            ("tls-cert-file", self.file("server.crt")),
            ("tls-key-file", self.file("server.key")),
            ("tls-ca-cert-file", self.file("ca.crt")),
            ("tls-auth-clients", "no".to_owned()),
        ]
    }

    /// A server with a port for TLS beside the one that the test itself talks to.
    pub(super) async fn server(&self, port: u16, further: &[&str]) -> Server {
        let mut options = vec!["--tls-port".to_owned(), port.to_string()];
        for (name, value) in self.options() {
            options.extend([format!("--{name}"), value]);
        }
        options.extend(further.iter().map(|&option| option.to_owned()));
        Server::start_with(&options.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// The queue refuses its server as long as nobody trusts the authority, and works where the system does.
    async fn assert_verified(&self, url: &str) {
        let untrusting = queue(url, KEY, LONG).expect("a queue");
        let error = untrusting.depth().await.expect_err("an untrusted certificate");
        assert!(error.to_string().contains("certificate"), "{error}");

        // The system's trust is read from the environment, which a test must not change for its neighbours.
        let output = again("redis_queue::tls::inner")
            .env("SSL_CERT_FILE", self.file("ca.crt"))
            .env(URL, url)
            .output()
            .expect("this test as a process of its own");
        assert_passed(&output);
    }
}

#[tokio::test]
async fn a_queue_behind_tls_works_and_an_unknown_authority_is_not_trusted() {
    let certificates = Certificates::make();
    let port = free_port();
    let _server = certificates.server(port, &[]).await;
    certificates.assert_verified(&format!("rediss://127.0.0.1:{port}")).await;
}

/// Caught, when seeded: a master that is spoken to without TLS.
#[tokio::test]
async fn sentinels_and_their_master_behind_tls_work_and_an_unknown_authority_is_not_trusted() {
    let certificates = Certificates::make();
    let port = free_port();
    let _server = certificates.server(port, &[]).await;
    let lines: Vec<String> = certificates.options().iter().map(|(name, value)| format!("{name} {value}")).collect();
    let tls = format!("{}\ntls-replication yes", lines.join("\n"));
    let sentinel = Sentinel::start(port, 1, 60_000, &tls).await;
    let url = format!("rediss-sentinel://127.0.0.1:{}/0?sentinelServiceName={MASTER}", sentinel.port);
    certificates.assert_verified(&url).await;
}

/// Caught, when seeded: a node that we are sent to, and spoken to without TLS.
#[tokio::test]
async fn nodes_of_a_cluster_behind_tls_work_and_an_unknown_authority_is_not_trusted() {
    let certificates = Certificates::make();
    let ports = [free_port(), free_port()];
    let bus = [free_port(), free_port()].map(|port| port.to_string());
    let tls = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--tls-replication", "yes", "--cluster-port"];
    let owner = certificates.server(ports[0], &[&tls[..], &[&bus[0]]].concat()).await;
    let other = certificates.server(ports[1], &[&tls[..], &[&bus[1]]].concat()).await;
    owner.ask::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
    owner.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {}", ports[1], bus[1]));
    eventually(LONG, "both nodes know who holds the slots", async || {
        let info: String = other.ask("CLUSTER INFO");
        if info.contains("cluster_state:ok") { Ok(()) } else { Err(info) }
    })
    .await;
    // The other one sends us on.
    certificates.assert_verified(&format!("rediss-cluster://127.0.0.1:{}", ports[1])).await;
}

#[tokio::test]
#[ignore = "run by the tests above, with their server and trust"]
async fn inner() {
    let queue = queue(&std::env::var(URL).expect(URL), KEY, LONG).unwrap();
    // A sentinel that has just started is not sure of its master yet.
    eventually(LONG, "the server is found", async || push(&queue, &["one"]).await).await;
    let claims = queue.claim(1).await.unwrap().claims;
    assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid]);
}
