//! An authority and a client certificate of one's own, for servers, sentinels, and nodes that others send the worker to: all of
//! them insist on a certificate here, and none of them is known to the system.

use std::process::Output;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::redis::{RedisQueue, RedisQueueOptions};
use fulfillment_worker::config::{ClientCertificate, QueueTls, redis_url};
use fulfillment_worker::event::Observers;
use fulfillment_worker::port::queue::{Queue, QueueError, QueueReports, ReceiptState};

use crate::redis_queue::replication::{MASTER, Sentinel};
use crate::redis_queue::server::{KEY, acks, push};
use crate::redis_queue::tls::{Certificates, openssl};
use crate::support::worker::binary;
use crate::support::{LONG, eventually, free_port};

const INSIST: [&str; 2] = ["--tls-auth-clients", "yes"];

fn queue(url: &str, tls: &QueueTls) -> Result<RedisQueue, QueueError> {
    let options = RedisQueueOptions { key: KEY.to_owned(), lease: LONG, worker: WorkerId::fresh() };
    RedisQueue::connect(&redis_url::parse(url).unwrap(), tls, options, Observers::default())
}

/// Makes a certificate and its key.
fn sign(certificates: &Certificates, name: &str, authority: &str) {
    let folder = certificates.folder.path();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let run = |text: String| openssl(folder, &words(&text).iter().map(String::as_str).collect::<Vec<_>>());
    run(format!("req -nodes -newkey rsa:2048 -keyout {name}.key -out {name}.csr -subj /CN={name}"));
    std::fs::write(folder.join("client.ext"), "basicConstraints=CA:FALSE\n").unwrap();
    run(format!(
        "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -days 2 -extfile client.ext \
         -out {name}.crt"
    ));
}

/// With a certificate for clients, and an authority that nobody here trusts.
fn certificates() -> Certificates {
    let certificates = Certificates::make();
    let other = "req -x509 -nodes -newkey rsa:2048 -days 2 -keyout other.key -out other.crt -subj /CN=other";
    openssl(certificates.folder.path(), &other.split(' ').collect::<Vec<_>>());
    sign(&certificates, "worker", "ca");
    sign(&certificates, "foreign", "other");
    certificates
}

fn tls(certificates: &Certificates, ca: &str, client: Option<&str>) -> QueueTls {
    let path = |name: &str| certificates.folder.path().join(name);
    QueueTls {
        ca: Some(path(&format!("{ca}.crt"))),
        client_certificate: client.map(|client| ClientCertificate {
            certificate: path(&format!("{client}.crt")),
            key: path(&format!("{client}.key")),
        }),
    }
}

/// It works with authority and certificate, and with nothing less.
async fn assert_needs_both(url: &str, certificates: &Certificates) {
    let queue_of = |ca, client| queue(url, &tls(certificates, ca, client)).unwrap();
    let good = queue_of("ca", Some("worker"));
    // A sentinel that has just started is not sure of its master yet.
    eventually(LONG, "the server is found", async || push(&good, &["one"]).await).await;
    let claims = good.claim(1).await.unwrap().claims;
    assert_eq!(good.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid]);
    for (ca, client, says) in
        [("other", Some("worker"), "--queue-tls-ca"), ("ca", None, ""), ("ca", Some("foreign"), "")]
    {
        let error = queue_of(ca, client).depth().await.expect_err(ca).to_string();
        assert!(error.contains(says), "{ca} {client:?}: {error}");
    }
    let error = queue(url, &QueueTls::default()).unwrap().depth().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(error.matches("--queue-tls-ca").count(), 1, "it is advised once: {error}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_and_is_known_to_an_authority_of_ones_own() {
    let certificates = certificates();
    let port = free_port();
    let _server = certificates.server(port, &INSIST).await;
    assert_needs_both(&format!("rediss://127.0.0.1:{port}"), &certificates).await;
}

/// Seeded and caught: sentinels, or their master, that are asked without a certificate.
#[tokio::test]
async fn sentinels_and_their_master() {
    let certificates = certificates();
    let port = free_port();
    let _server = certificates.server(port, &INSIST).await;
    let options = certificates.options().into_iter().filter(|(name, _)| *name != "tls-auth-clients");
    let lines: Vec<String> = options.map(|(name, value)| format!("{name} {value}")).collect();
    let further = format!("{}\ntls-auth-clients yes\ntls-replication yes", lines.join("\n"));
    let sentinel = Sentinel::start(port, 1, 60_000, &further).await;
    let url = format!("rediss-sentinel://127.0.0.1:{}/0?sentinelServiceName={MASTER}", sentinel.port);
    assert_needs_both(&url, &certificates).await;
}

/// Seeded and caught: a node that others send the worker to, without authority or certificate.
#[tokio::test]
async fn nodes_of_a_cluster_and_whom_they_send_the_worker_to() {
    let certificates = certificates();
    let ports = [free_port(), free_port()];
    let bus = [free_port(), free_port()].map(|port| port.to_string());
    let options = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--tls-replication", "yes", "--cluster-port"];
    let owner = certificates.server(ports[0], &[&INSIST[..], &options, &[&bus[0]]].concat()).await;
    let other = certificates.server(ports[1], &[&INSIST[..], &options, &[&bus[1]]].concat()).await;
    owner.ask::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
    owner.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {}", ports[1], bus[1]));
    eventually(LONG, "both nodes know who holds the slots", async || {
        let info: String = other.ask("CLUSTER INFO");
        if info.contains("cluster_state:ok") { Ok(()) } else { Err(info) }
    })
    .await;
    for url in [format!("rediss-cluster://127.0.0.1:{}", ports[1]), format!("rediss://127.0.0.1:{}", ports[1])] {
        assert_needs_both(&url, &certificates).await;
    }
}

/// A wrong one goes on with the last, a right one counts for the next connection, and neither needs a restart.
#[tokio::test]
async fn files_that_were_renewed_count_for_the_next_connection() {
    let certificates = certificates();
    let port = free_port();
    let _server = certificates.server(port, &INSIST).await;
    let file = |name: &str| certificates.folder.path().join(name);
    std::fs::copy(file("other.crt"), file("trusted.crt")).unwrap();
    let queue = queue(&format!("rediss://127.0.0.1:{port}"), &tls(&certificates, "trusted", Some("worker"))).unwrap();
    queue.depth().await.unwrap_err();
    std::fs::write(file("trusted.crt"), "").unwrap();
    queue.depth().await.unwrap_err();
    std::fs::copy(file("ca.crt"), file("trusted.crt")).unwrap();
    queue.depth().await.unwrap();
}

fn config(options: &[&str]) -> Output {
    binary(&[&["config", "--store", "postgres://127.0.0.1/x"], options].concat()).output().unwrap()
}

fn refused(options: &[&str]) -> String {
    let output = config(options);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{options:?}: {errors}");
    assert!(!errors.contains("PRIVATE KEY"), "{errors}");
    errors
}

#[test]
fn a_file_that_can_not_be_used_is_an_error_that_names_it_and_its_option() {
    let certificates = certificates();
    let [ca, worker, key, other_key] =
        ["ca.crt", "worker.crt", "worker.key", "foreign.key"].map(|name| certificates.file(name));
    let to = ["--queue", "rediss://localhost"];
    let good = ["--queue-tls-ca", &ca, "--queue-tls-certificate", &worker, "--queue-tls-private-key", &key];
    let output = config(&[&to[..], &good].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let missing = certificates.file("missing.crt");
    for (options, says) in [
        (vec!["--queue-tls-ca", &missing], vec!["--queue-tls-ca", &missing, "No such file"]),
        (vec!["--queue-tls-ca", &key], vec!["--queue-tls-ca", &key, "holds no certificate"]),
        (vec!["--queue-tls-certificate", &worker], vec!["--queue-tls-certificate", "needs --queue-tls-private-key"]),
        (vec!["--queue-tls-private-key", &key], vec!["--queue-tls-private-key", "needs --queue-tls-certificate"]),
        (
            vec!["--queue-tls-certificate", &worker, "--queue-tls-private-key", &other_key],
            vec!["--queue-tls-private-key", &other_key, "is not the key of the certificate"],
        ),
    ] {
        let errors = refused(&[&to[..], &options].concat());
        assert!(says.iter().all(|part| errors.contains(part)), "{options:?}: {errors}");
    }
}

/// Else the options would protect nothing, and look as if they did.
#[test]
fn files_for_a_queue_without_tls_are_an_error() {
    let certificates = certificates();
    let ca = certificates.file("ca.crt");
    for url in ["redis://localhost", "unix:///run/redis.sock", "redis-cluster://localhost"] {
        let errors = refused(&["--queue", url, "--queue-tls-ca", &ca]);
        assert!(errors.contains("--queue-tls-ca") && errors.contains("rediss"), "{url}: {errors}");
    }
    let (certificate, key) = (certificates.file("worker.crt"), certificates.file("worker.key"));
    let client = ["--queue-tls-certificate", &certificate, "--queue-tls-private-key", &key];
    for (given, named) in [(&["--queue-tls-ca", &ca][..], "--queue-tls-ca"), (&client, "--queue-tls-certificate")] {
        let errors = refused(&[&["--queue", "sqlite:orders.db"], given].concat());
        assert!(errors.contains(&format!("{named}: has no effect, as --queue is an embedded database")), "{errors}");
    }
}

/// Names the host that nobody of this machine is, and no password.
#[test]
fn a_password_that_goes_over_a_network_in_clear_text_is_warned_of_once() {
    let warned = |queue: &str| {
        let output = binary(&["hand-back", "--wait", "1s", "--queue", queue]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!errors.contains("hush"), "{errors}");
        errors.matches("without encryption").count()
    };
    // Addresses for documentation, where nobody answers.
    assert_eq!(warned("redis://me:hush@192.0.2.1:1"), 1);
    assert_eq!(warned("redis-cluster://:hush@192.0.2.1:1,192.0.2.2:1"), 1);
    for url in
        ["redis://192.0.2.1:1", "rediss://:hush@192.0.2.1:1", "redis://:hush@127.0.0.1:1", "redis://:hush@localhost:1"]
    {
        assert_eq!(warned(url), 0, "{url}");
    }
}
